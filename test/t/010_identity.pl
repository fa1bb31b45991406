# Tokens, replays and verifications on copies of the data: a hot standby, its promotion, a loaded dump.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Ed25519, made by another implementation; good until 2100.
my $key = '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "Rs-t0tZNCJm2eE2jdKRTDAfJ3v_K2Oi2MpMwJ3BITb4", "kid": "far", "alg": "EdDSA", "use": "sig"}]}';
my $token = 'eyJhbGciOiJFZERTQSIsImtpZCI6ImZhciJ9.eyJpc3MiOiAiaHR0cHM6Ly9pZHAuZXhhbXBsZSIsICJhdWQiOiAiYWRtaW4iLCAic3ViIjogImFubiIsICJleHAiOiA0MTAyNDQ0ODAwfQ.'
  . 'dj8eaN03mcdzXd-4qNOApPwCmcL7qMWOKb2nQ_IWrj0mxgMdH4d0N7TRnmqwKjhB6cRU03al8eDJYXorI_fMBQ';
my $verify = "select admin.jwt_verify('$token') ->> 'sub'";
my $unfit = "select string_agg(item, ', ') from admin.verify_approval('APP-000001-a') where not fits";
my $step = 'set admin_ext.require_verified_jwt = off; select';

my $node = new_node('primary', init => { allows_streaming => 1 });
create_extension($node);
$node->safe_psql('postgres', qq{select admin.add_jwt_issuer('https://idp.example', 'admin'), admin.import_jwks('https://idp.example', '$key'), admin.set_jwt_one_use('https://idp.example');
	insert into admin.jwt_used (issuer, token_id, expires_at) values ('https://idp.example', 'gone', 'tomorrow')});
$node->safe_psql('postgres', qq{$step admin.issue_approval('pay', '{finance}', 'tomorrow', approval_id => 'APP-000001-a', requested_by => 'req'); select admin.sign_approval('APP-000001-a', 'finance', 'ann')});
my $check = $node->safe_psql('postgres', "select admin.sensitive_check('APP-000001-a') #>> '{audit,audit_id}'");
is($node->safe_psql('postgres', $verify), 'ann', 'the primary verifies');

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $verify), 'ann', 'a standby verifies tokens');
is($standby->safe_psql('postgres', "select admin.replay_check($check) ->> 'equal'"), 'true', 'a standby replays decisions');
is($standby->safe_psql('postgres', "select precedence from admin.explain_replay($check) where matched"), '10', 'a standby explains replayed decisions');
is($standby->safe_psql('postgres', $unfit), '', 'a standby verifies approvals');
foreach my $call (q{admin.issue_approval('pay', '{finance}', 'tomorrow', requested_by => 'req')}, q{admin.sign_approval('APP-000001-a', 'finance', 'eve')}, q{admin.withdraw_approval('APP-000001-a', 'x', 'req')})
{
	my ($rc, undef, $error) = $standby->psql('postgres', "$step $call");
	like($error, qr/read-only transaction|during recovery/, "$call is an error on a standby");
}

$node->safe_psql('postgres', q{select admin.revoke_jwt_key('https://idp.example', 'far')});
$node->wait_for_catchup($standby);
my ($rc, undef, $error) = $standby->psql('postgres', $verify);
like($error, qr/its key has been revoked/, 'a revocation reaches the standby');
$standby->promote;
$standby->safe_psql('postgres', "$step admin.withdraw_approval('APP-000001-a', 'over', 'req')");
is($standby->safe_psql('postgres', "select admin.replay_check($check) ->> 'equal'"), 'true', 'after promotion and a withdrawal an older decision is replayed as it was');
is($standby->safe_psql('postgres', $unfit), '', 'the approval fits after promotion and a withdrawal');

# A dump takes along who is trusted, what is revoked, and what is used up.
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'pg_dump');
$node->safe_psql('postgres', 'create database restored');
{
	local $ENV{PGOPTIONS} = '-c admin_ext.restoring=on';
	$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, 'restored' ], 'the dump loads with admin_ext.restoring');
}
foreach my $table (qw(jwt_issuer jwt_key jwt_one_use jwt_used approval signature audit))
{
	my $query = "select count(*), md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from admin.$table as t" . ($table eq 'audit' ? " where event_type <> 'setting.changed'" : '');
	is($node->safe_psql('restored', $query), $node->safe_psql('postgres', $query), "table admin.$table is the same in the copy");
}
is($node->safe_psql('restored', "select admin.replay_check($check) ->> 'equal'"), 'true', 'decisions are replayed in the copy');
is($node->safe_psql('restored', $unfit), '', 'the approval fits in the copy');
($rc, undef, $error) = $node->psql('restored', $verify);
like($error, qr/its key has been revoked/, 'a revoked key stays revoked in the copy');
done_testing();
