# What the trail holds of a row depends on the row alone: no setting of the session and no locale of
# the server changes it.  And a value that is small in the table is small in the trail.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $locales = PostgreSQL::Test::Utils::tempdir();
command_ok([ 'localedef', '-i', 'de_DE', '-f', 'UTF-8', "$locales/de_DE.utf8" ], 'a locale that writes money in another way');
$ENV{LOCPATH} = $locales;
my $node = new_node('settings');
create_extension($node);

$node->safe_psql('postgres', q{
	create schema app;
	create table app.item (id int);
	create table pg_temp_like (id int);
	create function app.f(int) returns int language sql return $1;
	create operator app.@+ (function = app.f, rightarg = int);
	create text search configuration app.words (copy = simple);
	create domain app.price as money;
	create type app.moneyrange as range (subtype = money);
	create type app.mixed as (m money, i interval, t timestamptz, f float8, b bytea, r regclass);
	create table app.odd (
		m money, ms money[], mm money[], p app.price, ps app.price[], mr app.moneyrange,
		i interval, ivs interval[], t timestamptz, ts timestamptz[], d date, ds date[], tz timetz, tr tstzrange, dr daterange,
		f float4, g float8, gs float8[], b bytea, bs bytea[], c app.mixed, cs app.mixed[], pt point, x xml,
		rc regclass, rcs regclass[], rp regproc, rpd regprocedure, rop regoper, ropr regoperator, rt regtype, rcf regconfig, rd regdictionary,
		rl regrole, rn regnamespace, rco regcollation, n name, ch "char", acl aclitem, v tsvector, o oid, own regclass);
	create role "Mixed Case";
	select admin.attach_audit('app.odd');
	create function app.put() returns void language sql as $$
		insert into app.odd values (1234.56::numeric::money, array[1::money, null, (-2.5)::numeric::money], array[array[3::money], array[4::money]], 5::money, array[6::money::app.price],
			app.moneyrange(1::money, 2::money),
			'1 year 2 mons -3 days 04:05:06.7', array[interval '1 day'], '2024-02-29 12:34:56.789+05', array[timestamptz '1999-12-31 23:59:59+00'], '2024-02-29', array[date '2024-12-31'],
			'12:00:00+02', '[2024-01-01 00:00+00,2024-02-01 00:00+00)', '[2024-01-01,2024-02-01)',
			1.1, 0.1::float8 + 0.2, array[array[1.0::float8 / 3], array[2.5]], '\x00ff41', array['\x5c'::bytea],
			row(7::money, '1 day 2 hours', '2024-02-29 12:00+00', 0.1::float8 + 0.2, '\xff', 'app.item'::regclass), array[row(8::money, '1 mon', '2024-01-01 00:00+00', 1.0::float8 / 3, '\x01', 'app.item'::regclass)::app.mixed],
			point(0.1::float8 + 0.2, 1), '<a>b</a>',
			'app.item', array['app.item'::regclass, 'pg_class'], 'app.f', 'app.f(int)', 'app.@+', 'app.@+(none,int)', 'app.mixed', 'app.words', 'simple',
			'"Mixed Case"', 'app', '"C"', 'a name', 'c', 'postgres=r/postgres', 'a:1 b:2', 1234, 'pg_class') $$});

# The row's text in the trail, after an insert and an update under these settings.
sub text_under
{
	my (%settings) = @_;
	my $set = join '', map { "set $_ = $settings{$_};" } sort keys %settings;
	return $node->safe_psql('postgres', qq{
		set client_min_messages = error;
		create temporary table item (id int);
		$set
		select app.put() is null;
		update app.odd set m = m * 2, c = row((c).m * 2, (c).i, (c).t, (c).f, (c).b, (c).r)::app.mixed, rc = 'app.odd'::regclass;
		delete from app.odd;
		select string_agg(regexp_replace(payload::text, '"row_key":"[^"]*"', ''), E'\n' order by audit_id) from (
			select * from admin.audit where payload::text like '%app.odd%' order by audit_id desc limit 3) as newest}) =~ s/\A[tf]\n//r;
}

my $plain = text_under();
like($plain, qr/"\$1,234\.56"/, 'money is written as under lc_monetary = C');
like($plain, qr/"app\.item"/, 'the name of a table is qualified');
my %odd = (
	lc_monetary => q{'de_DE.utf8'}, datestyle => q{'German, DMY'}, intervalstyle => q{'sql_standard'}, timezone => q{'Asia/Kathmandu'}, extra_float_digits => -15,
	bytea_output => q{'escape'}, xmlbinary => q{'hex'}, xmloption => q{'document'}, search_path => q{app, public, pg_temp}, quote_all_identifiers => 'on', array_nulls => 'off',
	default_text_search_config => q{'german'}, row_security => 'off', transform_null_equals => 'on');
is(text_under($_ => $odd{$_}), $plain, "$_ changes nothing") for sort keys %odd;
is(text_under(%odd), $plain, 'all odd settings together change nothing');
is(text_under(search_path => q{pg_temp, app}), $plain, 'a temporary table of the same name in search_path changes nothing');
is(text_under(search_path => q{''}), $plain, 'an empty search_path changes nothing');
is($node->safe_psql('postgres', q{set lc_monetary = 'de_DE.utf8'; set search_path = app; select app.put() is null; show lc_monetary; show search_path; select 1::money = '1,00'::money}),
	"t\nde_DE.utf8\napp\nt", 'the session keeps its settings');
# Small in the table, and large when all zeros are written.
$node->safe_psql('postgres', q{
	create table app.large (id int, j jsonb, n numeric, ns numeric[]);
	select admin.attach_audit('app.large');
	insert into app.large select 1, jsonb_agg('1e131000'::jsonb), 1e131000, null from generate_series(1, 20000)});
my ($code, $out, $error) = $node->psql('postgres', q{update app.large set j = j || '[1e-16000, -12.50e2000]', n = -n, ns = array(select 1e131000::numeric from generate_series(1, 3000))});
is("$code $error", '0 ', 'many numbers with large exponents: the update succeeds');
is($node->safe_psql('postgres', q{select right(payload #>> '{changed,j,1}', length(' 1e131000, 1e-16000, -1.25e2001]')) from admin.audit order by audit_id desc limit 1}), ' 1e131000, 1e-16000, -1.25e2001]', 'numbers with large exponents are written with exponents');
is($node->safe_psql('postgres', q{select n.j = (a.payload #>> '{changed,j,1}')::jsonb and n.n = (a.payload #>> '{changed,n,1}')::numeric
	from app.large as n, (select * from admin.audit order by audit_id desc limit 1) as a}), 't', 'numbers with large exponents are the same numbers in the trail');
($code, $out, $error) = $node->psql('postgres', q{\set VERBOSITY verbose
update app.large set j = to_jsonb(repeat(e'\x01', 60000000))});
like($error, qr/54000: row of "large" is too large for the audit trail/, 'a text that grows by escapes beyond the limit is refused by name');

# Any jsonb is written as the server itself writes it.
is($node->safe_psql('postgres', q{
	create table app.doc (id int, j jsonb);
	select admin.attach_audit('app.doc');
	insert into app.doc select g, j::jsonb from unnest(array['1', '"a\"\\\\\n\u0001é"', 'null', 'true', '[]', '{}', '[[], {}, [1, [2]], {"a": {"b": []}}]',
		'{"z": 1, "a": [1.50, -0.0, "x", null, false], "": {}}', '[1, 2, {"k": "v", "l": [{"m": 0}]}]', '"' || repeat('"', 0) || repeat('\u00e9', 70000) || '"']) with ordinality as t(j, g);
	select string_agg(d.id::text, ',') from app.doc as d join admin.audit as a on a.payload #>> '{row,id}' = d.id::text and a.payload::text like '%app.doc%'
	where (a.payload #> '{row,j}')::text is distinct from d.j::text;}) =~ s/\A\s*//r, '', 'jsonb is written as jsonb_out writes it');
$node->stop;
done_testing();
