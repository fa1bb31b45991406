# What a caller of sensitive_check() chooses is delivered in attributes that CloudEvents allows.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use JSON::PP qw(decode_json);
use Test::More;

my $node = new_node('attributes');
create_extension($node);
my @names = qw(actor requestid traceparent);
# What each is delivered as, and whether it is a subject.
my %asked = (
	q{''} => [ undef, 0 ],
	q{null} => [ undef, 0 ],
	q{' '} => [ ' ', 0 ],
	q{u&' \00a0\2003'} => [ " \x{a0}\x{2003}", 0 ],
	q{'APP-000001-A'} => [ 'APP-000001-A', 1 ],
	q{e'a\nb'} => [ "a\x{fffd}b", 0 ],
	q{e'\x01\x1f\x7f\u0080\u009f'} => [ "\x{fffd}" x 5, 0 ],
	q{u&'\fdd0\fffe\ffff\+01fffe\+10ffff'} => [ "\x{fffd}" x 5, 0 ],
	q{u&' "\\\\\00e9\2028\fffd\+01f600\fdcf'} => [ " \"\\\x{e9}\x{2028}\x{fffd}\x{1f600}\x{fdcf}", 1 ],
	q{'APP-000001-a'} => [ 'APP-000001-a', 1 ]);
my @texts = sort keys %asked;
$node->safe_psql('postgres', "select admin.sensitive_check(v, null, null, v, v, v) from (select $_) as t(v)") for @texts;
ok(wait_delivered($node), 'all checks are delivered');
my @lines = grep { /"sensitive\.check\.2b"/ } ndjson_lines($node->data_dir . '/admin_ext');
is(@lines, @texts, 'a document for each check');
foreach my $text (@texts)
{
	my $document = decode_json(shift @lines);
	my ($delivered, $is_subject) = @{ $asked{$text} };
	is_deeply([ map { $document->{$_} } @names ], [ ($delivered) x @names ], "attributes where all texts are $text");
	is_deeply([ map { $document->{$_} } qw(subject partitionkey) ], [ ($is_subject ? $delivered : undef) x 2 ], "the subject where all texts are $text");
	is((grep { exists $document->{$_} } @names), defined $delivered ? @names : 0, "no attribute is null or empty where all texts are $text");
	is($node->safe_psql('postgres', "select coalesce(payload ->> 'approval_id', 'null') = coalesce($text, 'null') and actor is not distinct from $text from admin.audit where audit_id = $document->{auditid}"),
		't', "the row of the trail has the text as it was asked: $text");
}
$node->stop;
done_testing();
