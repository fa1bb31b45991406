-- ---------------------------------------------------------------------------
-- Identity: which tokens are trusted.
-- ---------------------------------------------------------------------------

create table admin.jwt_issuer (
    issuer        text collate "C" primary key,
    audience      text    not null,
    roles_claim   text    not null default 'roles',
    subject_claim text    not null default 'sub',
    max_token_life interval not null default make_interval(years => 100),
    constraint jwt_issuer_issuer_length check (octet_length(issuer) between 1 and 256),
    constraint jwt_issuer_audience_length check (octet_length(audience) between 1 and 256),
    constraint jwt_issuer_roles_claim_length check (octet_length(roles_claim) between 1 and 256),
    constraint jwt_issuer_subject_claim_length check (octet_length(subject_claim) between 1 and 256),
    constraint jwt_issuer_max_token_life check (max_token_life > make_interval() and max_token_life <= make_interval(years => 100))
);

comment on table admin.jwt_issuer is
'Issuers of JSON Web Tokens (RFC 7519) that this database trusts. A role that can write to this table decides who can sign.';
comment on column admin.jwt_issuer.issuer is 'Claim iss of the issuer''s tokens, compared byte for byte (RFC 7519, section 4.1.1).';
comment on column admin.jwt_issuer.audience is 'Claim aud of a token must be this value or contain it (RFC 7519, section 4.1.3).';
comment on column admin.jwt_issuer.roles_claim is 'Name of the claim that holds the roles of a person: an array of strings, or one string that is one role.';
comment on column admin.jwt_issuer.subject_claim is 'Name of the claim that identifies the person; the claim is a string of 1 to 256 bytes.';
comment on column admin.jwt_issuer.max_token_life is
'Longest allowed time from claim iat to claim exp of a token, or from now to exp if the token has no iat. Set by admin.set_jwt_issuer_max_life().';

create table admin.jwt_key (
    issuer     text collate "C" not null references admin.jwt_issuer,
    kid        text collate "C" not null,
    alg        text        not null,
    jwk        jsonb       not null,
    added_at   timestamptz not null default now(),
    revoked_at timestamptz,
    primary key (issuer, kid),
    constraint jwt_key_kid_length check (octet_length(kid) between 1 and 256),
    constraint jwt_key_alg check (alg in ('RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'))
);

comment on table admin.jwt_key is
'Public keys of trusted issuers (RFC 7517). Several keys of an issuer may be valid at once, so that keys can be rotated. A revoked key stays in the table and stays revoked.';
comment on column admin.jwt_key.issuer is 'The issuer of the key.';
comment on column admin.jwt_key.kid is 'Name of the key. The header of a token must have the same kid (RFC 7515, section 4.1.4).';
comment on column admin.jwt_key.alg is 'The only algorithm that the key is valid for (RFC 8725, section 3.1).';
comment on column admin.jwt_key.jwk is 'The key as it was imported. It has no private parts.';
comment on column admin.jwt_key.added_at is 'When the key was imported.';
comment on column admin.jwt_key.revoked_at is 'When the key was revoked. No session accepts it any more. Null: the key is valid.';

create table admin.jwt_one_use (
    issuer text collate "C" primary key references admin.jwt_issuer on delete cascade
);

comment on table admin.jwt_one_use is
'Issuers whose tokens are each valid for one step of the workflow; see admin.set_jwt_one_use().';
comment on column admin.jwt_one_use.issuer is 'Claim iss of the issuer''s tokens.';

create table admin.jwt_used (
    issuer     text collate "C" not null,
    token_id   text collate "C" not null,
    expires_at timestamptz not null,
    used_at    timestamptz not null default clock_timestamp(),
    primary key (issuer, token_id)
);

create index jwt_used_by_expiry on admin.jwt_used (expires_at);

comment on table admin.jwt_used is
'Tokens for one use that have been used. A row can be removed one hour after its token has expired.';
comment on column admin.jwt_used.issuer is 'Claim iss of the token.';
comment on column admin.jwt_used.token_id is 'Claim jti of the token (RFC 7519, section 4.1.7).';
comment on column admin.jwt_used.expires_at is 'Claim exp of the token.';
comment on column admin.jwt_used.used_at is 'When the token was used.';
comment on index admin.jwt_used_by_expiry is 'Finds rows that can be removed.';

create function admin.jwt_verify(token text)
returns jsonb
as 'MODULE_PATHNAME', 'admin_jwt_verify'
language c volatile parallel unsafe;

comment on function admin.jwt_verify(text) is
'Verifies a JSON Web Token (RFC 7519, compact serialization, at most 16384 bytes) and returns its claims. It verifies the trusted issuer, a key of the issuer that is not revoked, the algorithm of that key, and the signature. It also verifies the audience, exp (no leeway), nbf and iat (leeway: admin_ext.jwt_leeway) and the subject. Raises 28000 with the reason, also for null.';

create function admin_internal.requires_tokens()
returns boolean
as 'MODULE_PATHNAME', 'admin_requires_tokens'
language c stable parallel safe;

comment on function admin_internal.requires_tokens() is
'Returns the setting admin_ext.require_verified_jwt. The function loads the library before it reads the setting. Before the library is loaded, any user can set any value for its settings.';

create function admin.jws_verify(jws text, jwk jsonb)
returns bytea
as 'MODULE_PATHNAME', 'admin_jws_verify'
language c immutable strict parallel safe;

comment on function admin.jws_verify(text, jsonb) is
'Verifies the signature of a JSON Web Signature (RFC 7515, compact serialization, at most 16384 bytes) against a public key (RFC 7517). Returns the payload. It does not tell who signed, or when. Returns null for null. Raises 28000 with the reason.';

create function admin_internal.jwk_algorithm(jwk jsonb)
returns text
as 'MODULE_PATHNAME', 'admin_jwk_algorithm'
language c immutable strict parallel safe;

comment on function admin_internal.jwk_algorithm(jsonb) is
'Returns the algorithm that a public key is valid for: its alg, else that of its curve, else RS256. Raises 22023, with the reason, for a key that cannot be used: weak, malformed, symmetric, private, or for another purpose.';

create function admin_internal.check_jwt_text(name text, value text)
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if value is null then
        raise exception 'argument "%" is null', name using errcode = '22023', detail = 'It has 1 to 256 bytes.';
    elsif octet_length(value) not between 1 and 256 then
        raise exception 'argument "%" is out of range', name
            using errcode = '22023', detail = format('It has %s bytes; 1 to 256 are allowed.', octet_length(value));
    elsif admin_internal.has_control_character(value) then
        raise exception 'argument "%" has a control character', name using errcode = '22023', detail = 'It is shown on one line.';
    end if;
end
$$;

comment on function admin_internal.check_jwt_text(text, text) is 'Raises 22023 unless the argument has 1 to 256 bytes and no control character.';

create function admin.add_jwt_issuer(issuer text, audience text, roles_claim text default 'roles', subject_claim text default 'sub')
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform admin_internal.check_jwt_text('issuer', issuer), admin_internal.check_jwt_text('audience', audience),
            admin_internal.check_jwt_text('roles_claim', roles_claim), admin_internal.check_jwt_text('subject_claim', subject_claim);
    insert into admin.jwt_issuer as i (issuer, audience, roles_claim, subject_claim)
    values (add_jwt_issuer.issuer, add_jwt_issuer.audience, add_jwt_issuer.roles_claim, add_jwt_issuer.subject_claim)
    on conflict on constraint jwt_issuer_pkey do update
    set audience = excluded.audience, roles_claim = excluded.roles_claim, subject_claim = excluded.subject_claim
    where (i.audience, i.roles_claim, i.subject_claim) is distinct from (excluded.audience, excluded.roles_claim, excluded.subject_claim);
end
$$;

comment on function admin.add_jwt_issuer(text, text, text, text) is
'Adds a trusted issuer of tokens, or changes audience and claims of a trusted issuer. Omitted arguments are set to their defaults, also for an existing issuer. Add the keys of the issuer with admin.import_jwks(). For superusers only: a role that can add issuers can sign as anybody. Raises 22023 for an argument that is null, empty, longer than 256 bytes or has a control character.';

create function admin_internal.check_jwt_issuer(issuer text)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from admin.jwt_issuer as i where i.issuer = check_jwt_issuer.issuer) then
        raise exception 'issuer "%" is unknown', coalesce(left(issuer, 64), 'null')
            using errcode = '22023', hint = 'Add it with admin.add_jwt_issuer().';
    end if;
end
$$;

comment on function admin_internal.check_jwt_issuer(text) is 'Raises 22023 if the issuer does not exist.';

create function admin.set_jwt_one_use(issuer text, one_use boolean default true)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if set_jwt_one_use.one_use is null then
        raise exception 'argument "one_use" is null' using errcode = '22023';
    end if;
    perform admin_internal.check_jwt_issuer(set_jwt_one_use.issuer);
    if set_jwt_one_use.one_use then
        insert into admin.jwt_one_use (issuer) values (set_jwt_one_use.issuer) on conflict do nothing;
    else
        delete from admin.jwt_one_use as o where o.issuer = set_jwt_one_use.issuer;
    end if;
end
$$;

comment on function admin.set_jwt_one_use(text, boolean) is
'Makes each token of an issuer valid for one step: a jti issues, signs or withdraws once. Checks do not use a token up. A token without jti is then refused for every step. If one_use is false, removes this restriction. Raises 22023 for an unknown issuer or a null one_use.';

create function admin.set_jwt_issuer_max_life(issuer text, max_token_life interval)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if set_jwt_issuer_max_life.max_token_life is null then
        raise exception 'argument "max_token_life" is null' using errcode = '22023';
    elsif set_jwt_issuer_max_life.max_token_life <= make_interval() or set_jwt_issuer_max_life.max_token_life > make_interval(years => 100) then
        raise exception 'argument "max_token_life" is out of range'
            using errcode = '22023', detail = format('It is %s; more than 0 and at most 100 years are allowed.', set_jwt_issuer_max_life.max_token_life);
    end if;
    perform admin_internal.check_jwt_issuer(set_jwt_issuer_max_life.issuer);
    update admin.jwt_issuer as i set max_token_life = set_jwt_issuer_max_life.max_token_life where i.issuer = set_jwt_issuer_max_life.issuer;
end
$$;

comment on function admin.set_jwt_issuer_max_life(text, interval) is
'Sets the longest lifetime of the issuer''s tokens; tokens with a longer lifetime are refused. The lifetime runs from claim iat to claim exp, or from now to exp if there is no iat. A new issuer has 100 years, which refuses tokens that never expire. A month counts as 30 days. Appends row.updated to the trail. Only superusers are granted this function. Raises 22023 for an unknown issuer, and for a lifetime that is null, 0 or less, or more than 100 years.';

-- A set may hold keys for other purposes.  RFC 7517, section 5, says to ignore them.
create function admin_internal.jwk_is_foreign(jwk jsonb)
returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
return coalesce(jwk ->> 'use' <> 'sig', false)
    or coalesce(jwk ->> 'kty' not in ('RSA', 'EC', 'OKP', 'oct'), false)
    or coalesce(jwk -> 'key_ops' <> 'null' and not jwk -> 'key_ops' ? 'verify', false)
    or coalesce(jwk ->> 'alg' ~ '^(RSA-OAEP|RSA1_5|ECDH-ES)', false)
    or coalesce(jwk ->> 'kty' = 'EC' and jwk ->> 'crv' not in ('P-256', 'P-384', 'P-521'), false)
    or coalesce(jwk ->> 'kty' = 'OKP' and jwk ->> 'crv' <> 'Ed25519', false);

comment on function admin_internal.jwk_is_foreign(jsonb) is
'Returns true for a key that admin.import_jwks() ignores: for another purpose, for example encryption, or of an unknown type or curve.';

create function admin_internal.jwk_material(jwk jsonb)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
return (select jsonb_object_agg(key, value) from jsonb_each(jwk) where key in ('kty', 'crv', 'x', 'y', 'n', 'e'));

comment on function admin_internal.jwk_material(jsonb) is
'Returns the members of a key that define the key itself (RFC 7638, section 3.2).';

create function admin_internal.import_jwk(issuer text, jwk jsonb)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    known admin.jwt_key;
    key_id text := jwk ->> 'kid';
    algorithm text := admin_internal.jwk_algorithm(jwk);
begin
    if key_id is null or octet_length(key_id) not between 1 and 256 then
        raise exception 'key cannot be used: its kid does not have 1 to 256 bytes' using errcode = '22023';
    end if;
    insert into admin.jwt_key (issuer, kid, alg, jwk)
    values (import_jwk.issuer, key_id, algorithm, import_jwk.jwk)
    on conflict do nothing;
    if found then
        return true;
    end if;
    select * into strict known from admin.jwt_key as k where k.issuer = import_jwk.issuer and k.kid = key_id;
    if known.alg <> algorithm or admin_internal.jwk_material(known.jwk) <> admin_internal.jwk_material(import_jwk.jwk) then
        raise exception 'key cannot be used: another one has its kid already, or it is there for another algorithm'
            using errcode = '22023', hint = 'Give the new key a kid of its own.';
    end if;
    return false;
end
$$;

comment on function admin_internal.import_jwk(text, jsonb) is
'Stores one key of a set. Returns false if the key was already stored. Raises 22023, with the reason, for a key that cannot be used.';

create function admin.import_jwks(issuer text, jwks jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    element   jsonb;
    position  int := -1;
    imported  int := 0;
    unchanged int := 0;
    ignored   jsonb[] := '{}';
    reason    text;
begin
    perform admin_internal.check_jwt_issuer(import_jwks.issuer);
    if jwks is null or jsonb_typeof(jwks -> 'keys') is distinct from 'array' or jsonb_array_length(jwks -> 'keys') > 100 then
        raise exception 'argument "jwks" is not a JSON Web Key Set'
            using errcode = '22023',
                  detail = format('An object whose member "keys" is an array of at most 100 keys is needed (RFC 7517, section 5); it has %s.',
                                  case when jsonb_typeof(jwks -> 'keys') = 'array' then jsonb_array_length(jwks -> 'keys') || ' keys' else 'no such array' end);
    end if;
    for element in select jsonb_array_elements(jwks -> 'keys') loop
        position := position + 1;
        if jsonb_typeof(element) <> 'object' then
            raise exception 'key % of the set is not an object', position using errcode = '22023';
        end if;
        if admin_internal.jwk_is_foreign(element) then
            ignored := ignored || jsonb_build_object('index', position, 'kid', left(element ->> 'kid', 256));
            continue;
        end if;
        begin
            if admin_internal.import_jwk(issuer, element) then
                imported := imported + 1;
            else
                unchanged := unchanged + 1;
            end if;
        exception when invalid_parameter_value then
            get stacked diagnostics reason = message_text;
            raise exception 'key % of the set, "%": %', position, coalesce(left(element ->> 'kid', 64), 'without kid'), reason
                using errcode = '22023', hint = 'Nothing has been imported. Take it out of the set, or have its issuer mend it.';
        end;
    end loop;
    return jsonb_build_object('imported', imported, 'unchanged', unchanged, 'ignored', to_jsonb(ignored));
end
$$;

comment on function admin.import_jwks(text, jsonb) is
'Adds the public keys of a JSON Web Key Set (RFC 7517, section 5) to an issuer. Existing keys stay, so that old and new keys are valid at once; a revoked key stays revoked. Returns {"imported", "unchanged", "ignored": [{"index", "kid"}]}. Keys for other purposes or of unknown types are ignored. Raises 22023, and imports nothing, for an unknown issuer or an invalid set. Also raises 22023 for a key that is weak, malformed, symmetric or private, lacks a kid, or has the kid of another key. Only superusers are granted this function.';

create function admin.revoke_jwt_key(issuer text, kid text)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update admin.jwt_key as k set revoked_at = coalesce(k.revoked_at, clock_timestamp())
    where k.issuer = revoke_jwt_key.issuer and k.kid = revoke_jwt_key.kid;
    if not found then
        raise exception 'key "%" of issuer "%" is unknown', coalesce(left(kid, 64), 'null'), coalesce(left(issuer, 64), 'null')
            using errcode = '22023', hint = 'admin.jwt_key lists the keys.';
    end if;
end
$$;

comment on function admin.revoke_jwt_key(text, text) is
'Revokes a key permanently: after the commit no session accepts tokens of the key. Revoking it again changes nothing. Raises 22023 for an unknown key.';
