-- Tokens, and what people do with them.  Made by another implementation, good until 2100.
\set VERBOSITY default
\set SHOW_CONTEXT never
set client_min_messages = error;
create extension admin_ext;
set client_min_messages = warning;
set timezone = 'UTC';
\set req '\'eyJhbGciOiJFZERTQSIsImtpZCI6ImZhciJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwiYXVkIjoiYWRtaW4iLCJzdWIiOiJyZXEiLCJyb2xlcyI6W10sImV4cCI6NDEwMjQ0NDgwMH0.HNcYXNUsfjnKIy_KLZNEGX8b4AgmzOc1eNH_3vznLiCMfxmeuReelq27BQASdmkxWzUrrJH-xqvt1RF7Qn-uAQ\''
\set ann '\'eyJhbGciOiJFZERTQSIsImtpZCI6ImZhciJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwiYXVkIjoiYWRtaW4iLCJzdWIiOiJhbm4iLCJyb2xlcyI6WyJmaW5hbmNlIl0sImV4cCI6NDEwMjQ0NDgwMH0.1dFgUIdfqMdEbWkDcDecphNMeiiYCYRYwyUW4UH-gEufHL9sibMwQQLw9l8ECMDao1-i4NJ0-AA5XVsx3i_XAA\''
\set bob '\'eyJhbGciOiJFZERTQSIsImtpZCI6ImZhciJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwiYXVkIjoiYWRtaW4iLCJzdWIiOiJib2IiLCJyb2xlcyI6WyJsZWdhbCJdLCJleHAiOjQxMDI0NDQ4MDB9.-Zxa1gLoFcM8M_0FEYG3dvd5Go-9Hs64GMOVHszdGr2jqHs6mEchCQyxww34IlRTx2HICPkfmQKshJH3r23lDA\''
\set op '\'eyJhbGciOiJFZERTQSIsImtpZCI6ImZhciJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwiYXVkIjoiYWRtaW4iLCJzdWIiOiJvcCIsInJvbGVzIjpbIm9wZXJhdG9yIl0sImV4cCI6NDEwMjQ0NDgwMH0.wE8oa75jFqWYoj3Pg67NutqiPiW6_saz8P4kMtsEQrgAw-u8BMOW5DiUg0sD3m7-NP2O2arq6OAQHmVI38eRCQ\''
select admin.jwt_verify(:ann);
select admin.add_jwt_issuer('https://idp.example', 'admin');
select admin.jwt_verify(:ann);
select admin.import_jwks('https://idp.example', '{"keys": [{"crv": "Ed25519", "x": "Kp9-iqodb6Q9vJto--tNMhyamsAd4sr99OC5tBQ2i4M", "kty": "OKP", "kid": "far", "alg": "EdDSA", "use": "sig"}]}');
select admin.jwt_verify(:ann);
select admin.jwt_verify(:ann || 'A');
select admin.jwt_verify(null);

-- the whole way
select admin.issue_approval('pay', '{finance,legal}', '2100-01-01', approval_id => 'APP-000001-a', token => :req);
select admin.sign_approval('APP-000001-a', 'finance', token => :ann, expected_digest => sha256('another approval'));
select admin.sign_approval('APP-000001-a', 'finance', token => :ann, expected_digest => substr(admin.approval_digest('APP-000001-a'), 1, 31));
select admin.sign_approval('APP-000001-a', 'finance', token => :ann, expected_digest => '');
select count(*) as signatures from admin.signature;
select admin.sign_approval('APP-000001-a', 'finance', token => :ann, expected_digest => admin.approval_digest('APP-000001-a')) - 'signed_at' - 'signature_id';
select admin.sign_approval('APP-000001-a', 'finance', token => :ann) - 'signed_at' - 'signature_id';
select admin.sign_approval('APP-000001-a', 'finance', token => :ann, expected_digest => sha256('another approval'));
select admin.sign_approval('APP-000001-a', 'legal', token => :ann);
select admin.sign_approval('APP-000001-a', 'finance', token => :req);
select admin.sign_approval('APP-000001-a', 'legal', 'eve');
select admin.sensitive_check('APP-000001-a', token => :op) ->> 'reason' as reason;
select admin.sign_approval('APP-000001-a', 'legal', token => :bob) - 'signed_at' - 'signature_id';
select admin.sensitive_check('APP-000001-a', token => :op) ->> 'decision' as decision;
select admin.withdraw_approval('APP-000001-a', 'over', token => :op);
select admin.withdraw_approval('APP-000001-a', 'over', token => :op) -> 'already' as already;
select admin.withdraw_approval('APP-000001-a', 'over', token => :ann);
select admin.sign_approval('APP-000001-a', 'finance', token => :ann);

-- what the trail has of it
select event_type, actor, payload -> 'verified' as verified, payload #>> '{token,key_id}' as key_id
from admin.audit where approval_id = 'APP-000001-a' order by audit_id;
select payload ->> 'decision' as decision, admin.replay_check(audit_id) -> 'equal' as equal
from admin.audit where event_type = 'sensitive.check.2b' order by audit_id;
select e.precedence, e.detail from admin.audit as a, lateral admin.explain_replay(a.audit_id) as e
where a.event_type = 'sensitive.check.2b' and e.matched order by a.audit_id;
select item, fits, detail from admin.verify_approval('APP-000001-a') where item not in ('state');

-- how long a token may live
select admin.set_jwt_issuer_max_life('https://idp.example', '10 years');
select admin.jwt_verify(:ann);
select admin.add_jwt_issuer('https://idp.example', 'admin');
select admin.add_jwt_issuer(E'https://idp.example\n', 'admin');
select admin.add_jwt_issuer('https://idp.example', 'admin', E'ro\tles');
select max_token_life = '10 years' as stays from admin.jwt_issuer;
create extension admin_ext_cutover;
select status, detail from admin.cutover_readiness where item = 'F1';
select admin.set_jwt_issuer_max_life('https://idp.example', '24 hours');
select status, detail from admin.cutover_readiness where item = 'F1';
select admin.set_jwt_issuer_max_life('https://idp.example', '100 years');
select admin.jwt_verify(:ann) ->> 'sub' as sub;
select admin.set_jwt_issuer_max_life('https://idp.example', null);
select admin.set_jwt_issuer_max_life('https://idp.example', '0');
select admin.set_jwt_issuer_max_life('https://idp.example', '100 years 1 day');
select admin.set_jwt_issuer_max_life('https://other.example', '1 day');
select event_type, payload #>> '{row,max_token_life}' as life, payload -> 'changed' as changed
from admin.audit where payload ->> 'table' = 'admin.jwt_issuer' or payload ->> 'relation' = 'admin.jwt_issuer' order by audit_id;

-- revoked
select admin.revoke_jwt_key('https://idp.example', 'far');
select admin.jwt_verify(:ann);
drop extension admin_ext_cutover;
drop extension admin_ext cascade;
