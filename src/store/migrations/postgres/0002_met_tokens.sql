-- Whether a refresh token that somebody brings is known here already is looked up by its fingerprint.
create index ledger_by_refresh_token on pleo_gateway.ledger (provider, refresh_fingerprint)
    where refresh_fingerprint is not null;

-- What stands against a refresh token that is brought for a tenant: {outcome, tenant}, or null.
-- The same as `met` of SQLite.
create function pleo_gateway.met(for_provider text, for_tenant text, fingerprint text) returns jsonb
language plpgsql stable as $$
declare
    holder text;
begin
    select c.tenant into holder from pleo_gateway.ledger l
        join pleo_gateway.connections c using (provider, tenant, epoch, generation)
        where l.provider = for_provider and l.refresh_fingerprint = fingerprint and c.refresh is not null
          and c.tenant <> for_tenant
        order by c.tenant collate "C" limit 1;
    if found then
        return jsonb_build_object('outcome', 'token_taken', 'tenant', holder);
    end if;
    perform 1 from pleo_gateway.ledger sent
        where sent.provider = for_provider and sent.refresh_fingerprint = fingerprint and sent.phase = 'begun'
          and not exists (
            select from pleo_gateway.ledger ended
            where ended.provider = sent.provider and ended.tenant = sent.tenant and ended.number > sent.number
              and ended.attempt = sent.attempt
              and ended.outcome in ('not_sent', 'refused_for_now', 'client_rejected', 'resolved_not_applied')
              and not exists (
                select from pleo_gateway.ledger late
                where late.provider = sent.provider and late.tenant = sent.tenant and late.number > sent.number
                  and late.attempt = sent.attempt and (late.phase = 'committed' or late.outcome = 'rejected')))
          and not exists (
            select from pleo_gateway.ledger kept
            where kept.provider = sent.provider and kept.refresh_fingerprint = fingerprint
              and kept.tenant = sent.tenant and kept.epoch = sent.epoch and kept.generation = sent.generation + 1);
    return case when found then jsonb_build_object('outcome', 'token_spent') end;
end $$;

alter function pleo_gateway.write(jsonb) rename to write_row;

-- {row, expected, holds_alone, brought, ledger, audit} -> {outcome, revision | tenant}
create function pleo_gateway.write(change jsonb) returns jsonb language plpgsql volatile as $$
declare
    taken jsonb;
begin
    if change->>'brought' is not null then
        -- Held until the row is written: of two who bring one token, one sees the other's row.
        perform value from pleo_gateway.last_revision for update;
        taken := pleo_gateway.met(change->'row'->>'provider', change->'row'->>'tenant', change->>'brought');
        if taken is not null then
            return taken;
        end if;
    end if;
    return pleo_gateway.write_row(change);
end $$;
