#!/bin/bash
# terminal.sh - rill on a terminal: top, colours, progress, questions; and the same in a pipe.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
tool=$(realpath "${RILL:-${RILL_BUILD:-$root/build}/examples/rill}")
command -v python3 >/dev/null || { echo 'python3 is not installed: no terminal to try'; exit 77; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/rill-terminal.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export RILL_STORE=$dir/store LC_ALL=C.UTF-8 TERM=xterm
unset NO_COLOR
"$tool" topic create orders clicks a-topic-with-quite-a-long-name-that-needs-to-be-cut
for i in $(seq 20); do "$tool" topic create "more-$i"; done
seq 2000 | "$tool" produce orders
"$tool" consume orders --group=readers --count=100 >/dev/null
cat >try.py <<'END'
import array, fcntl, os, pty, re, select, signal, sys, termios, time
tool = sys.argv[1]

def fail(what, seen=b''):
    sys.exit(f'terminal.sh: {what}: {seen[-1500:]!r}')

class Terminal:
    """rill on a pseudo-terminal of its own, as the foreground process."""
    def __init__(self, *words, rows=24, columns=80):
        self.seen = b''
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            time.sleep(0.1)  # until it has its size
            os.execv(tool, [tool, *words])
        self.resize(rows, columns)
    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, array.array('H', [rows, columns, 0, 0]))
    def read(self, seconds):
        """What comes within so long; False when the terminal is closed."""
        if not select.select([self.fd], [], [], seconds)[0]: return True
        try:
            part = os.read(self.fd, 65536)
        except OSError:
            return False
        self.seen += part
        return part != b''
    def expect(self, pattern, seconds=20):
        end = time.time() + seconds
        while not re.search(pattern, self.seen, re.S):
            if time.time() > end or not self.read(0.1): fail(f'no {pattern!r}', self.seen)
    def forget(self):
        while select.select([self.fd], [], [], 0)[0] and self.read(0): pass
        self.seen = b''
    def key(self, keys):
        os.write(self.fd, keys)
    def end(self, seconds=20):
        end = time.time() + seconds
        while self.read(0.05):
            if time.time() > end: fail('does not end', self.seen)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
    def lflag(self):
        return termios.tcgetattr(self.fd)[3]

def fits(seen, rows, columns):
    """The last frame: the cursor is put on each row, none is below the screen, none is too wide."""
    frame = seen[seen.rindex(b'\x1b[1;1H'):]
    for row, text in re.findall(rb'\x1b\[(\d+);1H([^\n]*?)(?=\x1b\[\d+;1H|$)', frame, re.S):
        plain = re.sub(rb'\x1b\[[0-9;?]*[a-zA-Z]', b'', text).decode()
        if int(row) > rows: fail(f'row {int(row)} of {rows}', frame)
        if len(plain) > columns: fail(f'{len(plain)} of {columns} columns', plain.encode())

# top: draws, sorts, scrolls, pauses, takes a new size, quits, and leaves all as it was.
t = Terminal('top', '--interval=200ms')
t.expect(rb'\x1b\[\?1049h.*clicks.*readers.*1,900.*nobody reads.*q quit')
if t.lflag() & (termios.ECHO | termios.ICANON): fail('keys are echoed')
t.expect('\u2581'.encode())
fits(t.seen, 24, 80)
for keys, pattern in [(b's', rb'sorted by rate'), (b'ss', rb'sorted by size'), (b's', rb'sorted by name'),
                      (b'j\x1b[B', rb'3-\d+ of 23'), (b'\t', rb'Tab topics'), (b'\t', rb'Tab groups'),
                      (b'g', rb'1-\d+ of 23'), (b'+', rb'every 400ms'), (b'--', rb'every 100ms'),
                      (b'p', rb'paused')]:
    t.forget()
    t.key(keys)
    t.expect(pattern)
for rows, columns in [(10, 40), (50, 200), (3, 20), (1, 5), (24, 80)]:
    t.forget()
    t.resize(rows, columns)
    t.expect(rb'\x1b\[1;1H.*\x1b\[%d;1H' % rows if rows > 1 else rb'\x1b\[1;1H')
    time.sleep(0.3)
    t.forget()
    t.key(b'z')
    t.expect(rb'\x1b\[1;1H.*\x1b\[%d;1H' % rows if rows > 1 else rb'\x1b\[1;1H')
    time.sleep(0.1)
    t.read(0)
    fits(t.seen, rows, columns)
t.forget()
t.key(b'q')
if t.end() != 0: fail('q does not end it with 0')
if not t.seen.endswith(b'\x1b[?25h\x1b[?1049l'): fail('the screen is not given back', t.seen)
t = Terminal('top')
t.expect(rb'q quit')
t.key(b'\x03')
if t.end() != 130: fail('Ctrl-C does not end it with 130')
if not t.seen.endswith(b'\x1b[?25h\x1b[?1049l'): fail('Ctrl-C: the screen is not given back', t.seen)
t = Terminal('top', '--count=2', '--interval=100ms')
if t.end() != 0: fail('--count')
t = Terminal('top')
t.expect(rb'q quit')
os.kill(t.pid, signal.SIGTSTP)
for i in range(100):
    if os.waitpid(t.pid, os.WUNTRACED | os.WNOHANG)[0]: break
    time.sleep(0.05)
else: fail('Ctrl-Z does not stop it')
t.read(0.1)
if b'\x1b[?1049l' not in t.seen or not t.lflag() & termios.ECHO: fail('Ctrl-Z: the screen is not given back')
t.forget()
os.kill(t.pid, signal.SIGCONT)
t.expect(rb'\x1b\[\?1049h.*q quit')
os.kill(t.pid, signal.SIGTERM)
if t.end() != 143: fail('SIGTERM does not end it with 143')

# Colours: on a terminal, not with NO_COLOR, not with --color=never, not on a dumb one.
t = Terminal('topic', 'list'); t.end()
if b'\x1b[1mTOPIC' not in t.seen: fail('no colours', t.seen)
t = Terminal('topic', 'list', '--color=never'); t.end()
if b'\x1b' in t.seen: fail('--color=never', t.seen)
os.environ['NO_COLOR'] = '1'
t = Terminal('topic', 'list'); t.end()
if b'\x1b' in t.seen: fail('NO_COLOR', t.seen)
t = Terminal('topic', 'list', '--color=always'); t.end()
if b'\x1b[1mTOPIC' not in t.seen: fail('--color=always', t.seen)
del os.environ['NO_COLOR']
os.environ['TERM'] = 'dumb'
t = Terminal('topic', 'list'); t.end()
if b'\x1b' in t.seen: fail('a dumb terminal', t.seen)
os.environ['TERM'] = 'xterm'

# Control characters do not get to a terminal, unless asked for.
os.system(f"printf 'a\\033[31mb\\n' | {tool} produce clicks")
t = Terminal('consume', 'clicks'); t.end()
if b'a\\x1b[31mb\r\n' not in t.seen: fail('not escaped', t.seen)
t = Terminal('consume', 'clicks', '--raw'); t.end()
if b'a\x1b[31mb' not in t.seen: fail('--raw', t.seen)

# A record per line until Ctrl-D; a deletion is asked for.
t = Terminal('produce', 'clicks')
t.expect(rb'Ctrl-D ends')
t.key(b'typed\n\x04')
if t.end() != 0: fail('produce')
if b'1 record' not in t.seen: fail('nothing is said at the end', t.seen)
t = Terminal('topic', 'delete', 'clicks')
t.expect(rb'delete topic clicks with 2 records\? \[y/N\] ')
t.key(b'n\n')
if t.end() != 1: fail('"no" is not 1')
t = Terminal('topic', 'delete', 'clicks')
t.expect(rb'\[y/N\] ')
t.key(b'y\n')
if t.end() != 0: fail('"yes" is not 0')

# Progress is on the terminal, and gone at the end.
t = Terminal('bench', '--records=5000000', '--appends=0', '--size=10')
t.expect(rb'\rproducing +\d+% #*\.*  [\d,]+  [\d.kM]+/s', 60)
t.key(b'\x03')
if t.end() != 130: fail('bench: Ctrl-C')
if not t.seen.endswith(b'\r\x1b[K'): fail('progress is left', t.seen)
END
timeout 120 python3 try.py "$tool"

# In a pipe: once, plain, and no progress.
"$tool" top --interval=100ms >out 2>err
[ "$(grep -c '^orders ' out)" = 1 ] && ! grep -q "$(printf '\033')" out && [ ! -s err ]
! "$tool" topic list --internal | grep bench
"$tool" bench --records=200000 --appends=0 >out 2>err
[ ! -s err ]
echo 'terminal.sh: passed'
