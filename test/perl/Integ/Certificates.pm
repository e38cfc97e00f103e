# A private certificate authority and certificates of it, made by openssl.
#
#   my $ca = Integ::Certificates->create;        # in a directory of its own
#   $ca->file                                    # the authority, for integ.ca_file
#   my ($cert, $key) = $ca->issue('localhost');  # valid, for that name and 127.0.0.1
#   $ca->issue('localhost', expired => 1);       # its time is over
#   $ca->issue('other.example', addresses => []) # for another name
#   $ca->issue('client', client => 1);           # for a client
package Integ::Certificates;

use strict;
use warnings;

use Carp qw(croak);
use File::Temp qw(tempdir);
use Integ::Test qw(slurp spew);

sub create
{
	my ($class) = @_;
	my $self = bless { dir => tempdir('ca-XXXXXX', TMPDIR => 1, CLEANUP => 1), issued => 0 }, $class;

	# "openssl ca" is the one command that sets dates in the past.
	spew("$self->{dir}/index", '');
	spew("$self->{dir}/ca.conf", <<"CONF");
[ca]
default_ca = authority
[authority]
database = $self->{dir}/index
new_certs_dir = $self->{dir}
certificate = $self->{dir}/ca.pem
private_key = $self->{dir}/ca.key
default_md = sha256
rand_serial = yes
unique_subject = no
policy = any
copy_extensions = copy
[any]
commonName = supplied
CONF
	$self->_openssl(
		qw(req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -sha256),
		'-subj' => '/CN=integ test authority',
		'-keyout' => "$self->{dir}/ca.key",
		'-out' => $self->file);
	return $self;
}

sub file { return "$_[0]->{dir}/ca.pem" }

sub _openssl
{
	my ($self, @arguments) = @_;
	my $log = "$self->{dir}/openssl.log";

	# The shell only redirects; the arguments pass it untouched.
	system('sh', '-c', 'log=$1; shift; exec openssl "$@" >"$log" 2>&1', 'sh', $log, @arguments) == 0
	  or croak "openssl @arguments: " . slurp($log);
	return;
}

# Returns the paths of a certificate (with its key) for a name.
sub issue
{
	my ($self, $name, %options) = @_;
	my $base = sprintf '%s/%d', $self->{dir}, ++$self->{issued};
	my @addresses = @{ $options{addresses} // ['127.0.0.1'] };
	my $names = join ',', "DNS:$name", map { "IP:$_" } @addresses;
	my @dates = $options{expired}
	  ? ('-startdate', '20200101000000Z', '-enddate', '20200201000000Z')
	  : ('-days', 2);

	$self->_openssl(
		qw(req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes),
		'-subj' => "/CN=$name",
		'-addext' => "subjectAltName=$names",
		'-addext' => 'extendedKeyUsage=' . ($options{client} ? 'clientAuth' : 'serverAuth'),
		'-keyout' => "$base.key",
		'-out' => "$base.csr");
	$self->_openssl(
		'ca', '-batch', '-notext',
		'-config' => "$self->{dir}/ca.conf",
		'-in' => "$base.csr",
		'-out' => "$base.pem",
		@dates);
	return ("$base.pem", "$base.key");
}

1;
