-- Times are microseconds since 1970-01-01T00:00:00Z: to_timestamp(at / 1e6) shows them.
-- Sealed columns are bytea. Do not change rows by hand: the gateway refuses a row whose seal does not fit it.
-- Every function takes and gives one jsonb, so that each of them is one message to the server and one back.

-- store_id, and key_check and fingerprint_key (sealed)
create table pleo_gateway.meta (
    name text not null primary key,
    value bytea not null
);

-- The last revision that was given. Whoever writes a row holds this one until its commit: revisions become visible in
-- their order, and nobody that looks for newer ones misses one.
create table pleo_gateway.last_revision (
    only_one boolean not null primary key default true check (only_one),
    value bigint not null
) with (fillfactor = 10);
insert into pleo_gateway.last_revision (value) values (0);

create table pleo_gateway.connections (
    provider text not null,
    tenant text not null,
    revision bigint not null,
    sealed_revision bigint not null,
    state text not null,
    reason text,
    credential text not null,
    company_id text,
    shared_company boolean not null,
    scopes text,
    epoch bigint not null,
    generation bigint not null,
    access bytea,
    access_since bigint,
    access_expires_at bigint,
    access_life_known boolean,
    refresh bytea,
    api_key bytea,
    verdict text not null,
    attempts text not null,
    evidence text not null,
    next_try_at bigint,
    failures bigint not null,
    refreshed_at bigint,
    consented_at bigint,
    consent_until bigint,
    candidate bytea,
    sealed_by text not null,
    seal bytea not null,
    primary key (provider, tenant)
);

create index connections_by_revision on pleo_gateway.connections (provider, revision, tenant);
create index connections_by_company on pleo_gateway.connections (provider, company_id) where company_id is not null;

create table pleo_gateway.ledger (
    number bigint not null generated always as identity primary key,
    provider text not null,
    tenant text not null,
    at bigint not null,
    epoch bigint not null,
    generation bigint not null,
    attempt text,
    replica text not null,
    phase text not null,
    outcome text,
    access_fingerprint text,
    refresh_fingerprint text
);

create index ledger_by_tenant on pleo_gateway.ledger (provider, tenant, number);

create table pleo_gateway.audit (
    number bigint not null generated always as identity primary key,
    provider text not null,
    tenant text not null,
    at bigint not null,
    who text not null,
    what text not null,
    detail text not null
);

create index audit_by_tenant on pleo_gateway.audit (provider, tenant, number);

create function pleo_gateway.refuse() returns trigger language plpgsql as $$
begin
    raise exception 'the % is append-only', tg_table_name;
end $$;

create trigger ledger_is_append_only before update or delete or truncate on pleo_gateway.ledger
    for each statement execute function pleo_gateway.refuse();
create trigger audit_is_append_only before update or delete or truncate on pleo_gateway.audit
    for each statement execute function pleo_gateway.refuse();

create table pleo_gateway.links (
    digest bytea not null primary key,
    provider text not null,
    tenant text not null,
    scopes text not null,
    allow_shared_company boolean not null,
    expires_at bigint not null,
    spent_at bigint
);

create table pleo_gateway.visits (
    state bytea not null primary key,
    provider text not null,
    link bytea not null,
    tenant text not null,
    verifier bytea not null,
    cookie bytea not null,
    expires_at bigint not null
);

create function pleo_gateway.now() returns bigint language sql volatile as $$
    select (extract(epoch from clock_timestamp()) * 1000000)::bigint
$$;

-- {provider, tenant} -> {now, row}
create function pleo_gateway.read(asked jsonb) returns jsonb language sql volatile as $$
    select jsonb_build_object('now', pleo_gateway.now(), 'row', (
        select to_jsonb(c) from pleo_gateway.connections c
        where c.provider = asked->>'provider' and c.tenant = asked->>'tenant'))
$$;

-- {provider} -> [row]
create function pleo_gateway.list(asked jsonb) returns jsonb language sql stable as $$
    select coalesce(jsonb_agg(to_jsonb(c) order by c.tenant collate "C"), '[]')
    from pleo_gateway.connections c where c.provider = asked->>'provider'
$$;

-- {provider, mark} -> {last, tenants}. A store that is behind the mark was put back from a backup: all may have changed.
create function pleo_gateway.changed(asked jsonb) returns jsonb language sql stable as $$
    select jsonb_build_object('last', last.value, 'tenants', (
        select coalesce(jsonb_agg(c.tenant order by c.revision), '[]') from pleo_gateway.connections c
        where c.provider = asked->>'provider'
          and c.revision > case when last.value < (asked->>'mark')::bigint then 0 else (asked->>'mark')::bigint end))
    from pleo_gateway.last_revision last
$$;

-- {provider, company} -> tenant or null
create function pleo_gateway.tenant_of(asked jsonb) returns jsonb language sql stable as $$
    select to_jsonb((
        select c.tenant from pleo_gateway.connections c
        where c.provider = asked->>'provider' and c.company_id = asked->>'company'
          and c.state not in ('pending', 'disconnected')
        order by c.shared_company, c.tenant collate "C" limit 1))
$$;

-- {provider, tenant} -> [line]
create function pleo_gateway.history(asked jsonb) returns jsonb language sql stable as $$
    select coalesce(jsonb_agg(to_jsonb(l) order by l.number), '[]') from pleo_gateway.ledger l
    where l.provider = asked->>'provider' and l.tenant = asked->>'tenant'
$$;

create function pleo_gateway.add_audit(lines jsonb) returns void language sql volatile as $$
    insert into pleo_gateway.audit (provider, tenant, at, who, what, detail)
    select provider, tenant, at, who, what, detail from jsonb_populate_recordset(null::pleo_gateway.audit, lines)
$$;

-- Over the row that was there.
create function pleo_gateway.put(made pleo_gateway.connections) returns void language plpgsql volatile as $$
begin
    delete from pleo_gateway.connections c where c.provider = made.provider and c.tenant = made.tenant;
    insert into pleo_gateway.connections select made.*;
end $$;

-- {row, expected, holds_alone, ledger, audit} -> {outcome, revision | tenant}
create function pleo_gateway.write(change jsonb) returns jsonb language plpgsql volatile as $$
declare
    made pleo_gateway.connections := jsonb_populate_record(null::pleo_gateway.connections, change->'row');
    last bigint;
    current bigint;
    holder text;
begin
    select value into strict last from pleo_gateway.last_revision for update;
    select c.revision into current from pleo_gateway.connections c
        where c.provider = made.provider and c.tenant = made.tenant;
    if coalesce(current, 0) <> (change->>'expected')::bigint then
        return jsonb_build_object('outcome', 'conflict');
    end if;
    if (change->>'holds_alone')::boolean then
        select c.tenant into holder from pleo_gateway.connections c
            where c.provider = made.provider and c.company_id = made.company_id and c.tenant <> made.tenant
              and c.state not in ('pending', 'disconnected') and not c.shared_company
            order by c.tenant collate "C" limit 1;
        if found then
            return jsonb_build_object('outcome', 'company_taken', 'tenant', holder);
        end if;
    end if;
    made.revision := last + 1;
    update pleo_gateway.last_revision set value = made.revision;
    perform pleo_gateway.put(made);
    insert into pleo_gateway.ledger (provider, tenant, at, epoch, generation, attempt, replica, phase, outcome,
            access_fingerprint, refresh_fingerprint)
        select provider, tenant, at, epoch, generation, attempt, replica, phase, outcome,
            access_fingerprint, refresh_fingerprint
        from jsonb_populate_recordset(null::pleo_gateway.ledger, change->'ledger');
    perform pleo_gateway.add_audit(change->'audit');
    return jsonb_build_object('outcome', 'done', 'revision', made.revision);
end $$;

-- {row, revision} -> whether the row was still of that revision, and is sealed anew now
create function pleo_gateway.reseal(change jsonb) returns jsonb language plpgsql volatile as $$
declare
    made pleo_gateway.connections := jsonb_populate_record(null::pleo_gateway.connections, change->'row');
begin
    perform value from pleo_gateway.last_revision for update;
    made.revision := (change->>'revision')::bigint;
    perform 1 from pleo_gateway.connections c
        where c.provider = made.provider and c.tenant = made.tenant and c.revision = made.revision;
    if not found then
        return to_jsonb(false);
    end if;
    perform pleo_gateway.put(made);
    return to_jsonb(true);
end $$;

-- {} -> {rows: [{provider, tenant}], visits: [{state, tenant}]}, what matters most first
create function pleo_gateway.sealed_places(asked jsonb) returns jsonb language sql stable as $$
    select jsonb_build_object(
        'rows', (select coalesce(jsonb_agg(jsonb_build_object('provider', c.provider, 'tenant', c.tenant)
                order by c.provider collate "C", c.tenant collate "C"), '[]') from pleo_gateway.connections c),
        'visits', (select coalesce(jsonb_agg(jsonb_build_object('state', v.state, 'tenant', v.tenant)
                order by v.state), '[]') from pleo_gateway.visits v where v.expires_at > pleo_gateway.now()))
$$;

-- {state} -> visit or null, of every provider
create function pleo_gateway.visit(asked jsonb) returns jsonb language sql stable as $$
    select to_jsonb((select v from pleo_gateway.visits v where v.state = decode(asked->>'state', 'hex')))
$$;

-- {state, sealed, anew} -> whether the verifier was still sealed so, and is sealed anew now
create function pleo_gateway.reseal_visit(change jsonb) returns jsonb language plpgsql volatile as $$
begin
    update pleo_gateway.visits set verifier = (change->>'anew')::bytea
        where state = decode(change->>'state', 'hex') and verifier = (change->>'sealed')::bytea;
    return to_jsonb(found);
end $$;

-- {audit}
create function pleo_gateway.note(change jsonb) returns jsonb language plpgsql volatile as $$
begin
    perform pleo_gateway.add_audit(change->'audit');
    return to_jsonb(true);
end $$;

-- {link, audit, forget}
create function pleo_gateway.put_link(change jsonb) returns jsonb language plpgsql volatile as $$
begin
    delete from pleo_gateway.links where expires_at < pleo_gateway.now() - (change->>'forget')::bigint;
    insert into pleo_gateway.links select * from jsonb_populate_record(null::pleo_gateway.links, change->'link');
    perform pleo_gateway.add_audit(change->'audit');
    return to_jsonb(true);
end $$;

-- {provider, digest} -> link or null
create function pleo_gateway.link(asked jsonb) returns jsonb language sql stable as $$
    select to_jsonb((select l from pleo_gateway.links l
        where l.provider = asked->>'provider' and l.digest = decode(asked->>'digest', 'hex')))
$$;

-- {provider, digest} -> whether this was the first
create function pleo_gateway.spend_link(asked jsonb) returns jsonb language plpgsql volatile as $$
begin
    update pleo_gateway.links set spent_at = pleo_gateway.now()
        where provider = asked->>'provider' and digest = decode(asked->>'digest', 'hex') and spent_at is null;
    return to_jsonb(found);
end $$;

-- {visit, most}
create function pleo_gateway.put_visit(change jsonb) returns jsonb language plpgsql volatile as $$
declare
    visit pleo_gateway.visits := jsonb_populate_record(null::pleo_gateway.visits, change->'visit');
begin
    delete from pleo_gateway.visits where expires_at < pleo_gateway.now();
    insert into pleo_gateway.visits values (visit.*);
    delete from pleo_gateway.visits where state in (
        select v.state from pleo_gateway.visits v where v.provider = visit.provider and v.link = visit.link
            order by v.expires_at desc offset (change->>'most')::integer);
    return to_jsonb(true);
end $$;

-- {provider, state} -> {now, visit}
create function pleo_gateway.take_visit(asked jsonb) returns jsonb language plpgsql volatile as $$
declare
    taken pleo_gateway.visits;
begin
    delete from pleo_gateway.visits v
        where v.provider = asked->>'provider' and v.state = decode(asked->>'state', 'hex')
        returning v.* into taken;
    return jsonb_build_object('now', pleo_gateway.now(), 'visit', case when found then to_jsonb(taken) end);
end $$;

-- What this process tells the others: that there may be something new.
create function pleo_gateway.announce(asked jsonb) returns jsonb language plpgsql volatile as $$
begin
    perform pg_notify('pleo_gateway', '');
    return to_jsonb(true);
end $$;
