# Clock.pm: a server whose wall clock is set.
package Clock;

use strict;
use warnings;
use Exporter 'import';
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(set_clock by_clock $day);

our $day = 86400;
my $directory = PostgreSQL::Test::Utils::tempdir;
my ($library, $clock) = ("$directory/clock.so", "$directory/clock");
system('cc', '-O2', '-Wall', '-shared', '-fPIC', '-o', $library, "$FindBin::Bin/clock.c") == 0 or BAIL_OUT('clock.c does not compile');

# So many seconds ahead of what it is; written in place, for it is mapped.
sub set_clock
{
	my ($seconds) = @_;
	open my $file, -e $clock ? '+<' : '>', $clock or die "$clock: $!";
	binmode $file;
	print $file pack('q', $seconds);
	close $file or die "$clock: $!";
}

# What is to run by that clock.
sub by_clock
{
	my ($action) = @_;
	local $ENV{LD_PRELOAD} = $library;
	local $ENV{CLOCK_FILE} = $clock;
	$action->();
}

1;
