# The programs that tests take from npm: there, of the version that is pinned,
# and importable from a script of ours.

use strict;
use warnings;

use Integ::Node;
use Integ::Test qw(slurp source_file spew);
use File::Temp qw(tempdir);
use JSON::PP qw(decode_json);
use Test::More;

plan skip_all => Integ::Node->missing if Integ::Node->missing;

my $wanted = decode_json(slurp(source_file('test/npm/package.json')))->{dependencies};
my %found = map { $_ => decode_json(slurp(Integ::Node->file("$_/package.json")))->{version} } keys %$wanted;
is_deeply(\%found, $wanted, 'the packages of test/npm/package.json');

my $lock = slurp(source_file('test/npm/package-lock.json'));
unlike($lock, qr/"resolved"/, 'the lock file names no host');

my $dir = tempdir(CLEANUP => 1);
spew("$dir/sign.mjs", <<'JS');
import { readFileSync } from 'fs';
import { Webhook } from 'standardwebhooks';
const body = readFileSync(0, 'utf8'), hook = new Webhook(process.argv[2]), now = new Date();
const signature = hook.sign('msg_1', now, body);
hook.verify(body, { 'webhook-id': 'msg_1', 'webhook-timestamp': String(Math.floor(now / 1000)), 'webhook-signature': signature });
console.log(signature);
JS
like(
	Integ::Node->run("$dir/sign.mjs", args => ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'], input => '{"a": 1}'),
	qr{^v1,[A-Za-z0-9+/]{43}=$}, 'a script of ours finds the packages');
ok(!eval { Integ::Node->run("$dir/sign.mjs", args => [], input => ''); 1 }, 'a script that fails is a failure');

spew("$dir/server.mjs", 'console.log("ready"); setInterval(() => {}, 1000);');
my $server = Integ::Node->start('server', "$dir/server.mjs", ready => qr/ready/);
$server->stop;
pass('a server starts and ends');

done_testing();
