-- Whether a refresh token that somebody brings is known here already is looked up by its fingerprint.
create index ledger_by_refresh_token on ledger (provider, refresh_fingerprint) where refresh_fingerprint is not null;
