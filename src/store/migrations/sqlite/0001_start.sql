-- Times are microseconds since 1970-01-01T00:00:00Z: datetime(at / 1000000, 'unixepoch') shows them.
-- Blobs are sealed. Do not change rows by hand: the gateway refuses a row whose seal does not fit it.

-- store_id · revision (the last one given) · key_check and fingerprint_key (sealed)
create table meta (
    name text not null primary key,
    value any not null
) strict, without rowid;

create table connections (
    provider text not null,
    tenant text not null,
    revision integer not null,
    state text not null,
    reason text,
    credential text not null,
    company_id text,
    shared_company integer not null,
    scopes text,
    epoch integer not null,
    generation integer not null,
    access blob,
    access_since integer,
    access_expires_at integer,
    access_life_known integer,
    refresh blob,
    api_key blob,
    verdict text not null,
    attempts text not null,
    evidence text not null,
    next_try_at integer,
    failures integer not null,
    refreshed_at integer,
    consented_at integer,
    consent_until integer,
    candidate blob,
    sealed_by text not null,
    seal blob not null,
    primary key (provider, tenant)
) strict;

create index connections_by_revision on connections (provider, revision, tenant);
create index connections_by_company on connections (provider, company_id) where company_id is not null;

create table ledger (
    number integer primary key,
    provider text not null,
    tenant text not null,
    at integer not null,
    epoch integer not null,
    generation integer not null,
    attempt text,
    replica text not null,
    phase text not null,
    outcome text,
    access_fingerprint text,
    refresh_fingerprint text
) strict;

create index ledger_by_tenant on ledger (provider, tenant, number);

create trigger ledger_is_never_changed before update on ledger
begin select raise(abort, 'the ledger is append-only'); end;
create trigger ledger_is_never_cut before delete on ledger
begin select raise(abort, 'the ledger is append-only'); end;

create table audit (
    number integer primary key,
    provider text not null,
    tenant text not null,
    at integer not null,
    who text not null,
    what text not null,
    detail text not null
) strict;

create index audit_by_tenant on audit (provider, tenant, number);

create trigger audit_is_never_changed before update on audit
begin select raise(abort, 'the audit is append-only'); end;
create trigger audit_is_never_cut before delete on audit
begin select raise(abort, 'the audit is append-only'); end;

create table links (
    digest blob not null primary key,
    provider text not null,
    tenant text not null,
    scopes text not null,
    allow_shared_company integer not null,
    expires_at integer not null,
    spent_at integer
) strict, without rowid;

create table visits (
    state blob not null primary key,
    provider text not null,
    link blob not null,
    tenant text not null,
    verifier blob not null,
    cookie blob not null,
    expires_at integer not null
) strict, without rowid;
