//! Standard input and output as the two directions of a connection, of which each ends on its own.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use rustix::stdio::dup2_stdout;

/// Bytes of one read.
const BUFFER: usize = 64 * 1024;

/// Relays until both directions have ended.
pub(super) fn relay(connection: &TcpStream) -> io::Result<()> {
    let mut up = connection.try_clone()?;
    // A thread of its own: it may wait for standard input when the process ends.
    let sending = thread::spawn(move || {
        copy(&mut io::stdin().lock(), &mut up)?;
        up.shutdown(Shutdown::Write)
    });
    copy(&mut &*connection, &mut io::stdout().lock())?;
    // Whoever reads our output is told that there is no more, and may still write.
    dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    sending.join().unwrap_or_else(|_| Err(io::Error::other("the thread that sends panicked")))
}

/// Copies to the end. `io::copy` would wait for a line's end before it writes to a terminal or a pipe.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                to.write_all(&buffer[..read])?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
