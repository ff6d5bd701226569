//! The file of a Unix socket that listens: how it comes, who may connect, and how it goes.
//!
//! A file is left behind by a process that was killed, and nothing but a try to connect tells it from one at which
//! somebody listens. It is replaced where nobody answers, and only then.

use std::fs::{Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, sleep};

/// Pause before another try to connect where the queue is full.
const QUEUE_FULL_DELAY: Duration = Duration::from_millis(20);

/// Who may connect, by the mode and the owner of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The permissions. Whoever may write may connect (unix(7)).
    pub mode: u32,
    /// The user, if another than the daemon's.
    pub user: Option<u32>,
    /// The group, if another than the daemon's.
    pub group: Option<u32>,
}

impl Access {
    /// The daemon's own user alone.
    pub const OWN_USER: Self = Self { mode: 0o600, user: None, group: None };

    /// Gives the file this mode and owner.
    ///
    /// # Errors
    /// The system's.
    pub fn apply(&self, path: &Path) -> io::Result<()> {
        if self.user.is_some() || self.group.is_some() {
            lchown(path, self.user, self.group)?;
        }
        std::fs::set_permissions(path, Permissions::from_mode(self.mode))
    }
}

/// A socket cannot be created at a path.
#[derive(Debug, Error)]
pub enum BindError {
    /// Somebody listens there.
    #[error("another program answers there")]
    InUse,
    /// Something else is there.
    #[error("it exists and is not a socket")]
    NotASocket,
    /// Its mode or its owner cannot be set.
    #[error("its mode and owner cannot be set: {0}")]
    Access(#[source] io::Error),
    /// The system's.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Creates a socket that listens at `path`; a file at which nobody listens is replaced.
///
/// # Errors
/// The path is taken, or the system does not create it. Then no file is left.
pub fn bind(path: &Path, access: Access, backlog: i32) -> Result<UnixListener, BindError> {
    if is_stale(path)? {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Nobody can connect before listen(2), so the mode applies in time.
    let listening = access.apply(path).map_err(BindError::Access).and_then(|()| {
        socket.listen(backlog)?;
        socket.set_nonblocking(true)?;
        Ok(UnixListener::from_std(socket.into())?)
    });
    if listening.is_err() {
        let _ = std::fs::remove_file(path);
    }
    listening
}

/// Checks whether a socket could be created at `path`, and creates none.
///
/// # Errors
/// The path is taken, or this process may not write into its directory.
pub fn try_bind(path: &Path) -> Result<(), BindError> {
    is_stale(path)?;
    SockAddr::unix(path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    Ok(rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).map_err(io::Error::from)?)
}

/// Connects to the socket at `path`. Where its queue is full (`WouldBlock`, connect(2)) tries again for a time.
///
/// # Errors
/// The system's.
pub async fn connect(path: &Path, time_limit: Duration) -> io::Result<UnixStream> {
    let until = Instant::now() + time_limit;
    loop {
        match UnixStream::connect(path).await {
            Err(full) if full.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                sleep(QUEUE_FULL_DELAY).await;
            }
            connected => return connected,
        }
    }
}

/// Returns whether there is a socket at which nobody listens; or nothing is there.
fn is_stale(path: &Path) -> Result<bool, BindError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket),
        Ok(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Whoever listens and accepts nobody would have us wait.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error.into()),
        // Also one of another type, or one whose queue is full.
        Ok(()) | Err(_) => Err(BindError::InUse),
    }
}

/// The file of a socket that this process listens at; dropping it removes the file, unless another one has come in
/// its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Its device and its number there.
    id: (u64, u64),
    is_left: bool,
}

impl SocketFile {
    /// Returns the file at `path`.
    ///
    /// # Errors
    /// No socket is there.
    pub fn at(path: &Path) -> io::Result<Self> {
        let found = std::fs::symlink_metadata(path)?;
        match found.file_type().is_socket() {
            true => Ok(Self { path: path.to_owned(), id: id(&found), is_left: false }),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Leaves the file to another process, until it is [owned](Self::own).
    pub fn left(mut self) -> Self {
        self.is_left = true;
        self
    }

    /// Has the file removed with this: no other process is there any more that uses it.
    pub fn own(&mut self) {
        self.is_left = false;
    }

    /// Gives the file this mode and owner.
    ///
    /// # Errors
    /// Another file has come in its place, or the system's.
    pub fn apply(&self, access: Access) -> io::Result<()> {
        match self.is_there()? {
            true => access.apply(&self.path),
            false => Err(io::Error::other("another file has come in its place")),
        }
    }

    fn is_there(&self) -> io::Result<bool> {
        Ok(id(&std::fs::symlink_metadata(&self.path)?) == self.id)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.is_left && self.is_there().is_ok_and(|is_there| is_there) {
            // A file that stays is replaced at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_replaced_where_nobody_answers_and_only_then() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.sock");
        let access = Access { mode: 0o620, ..Access::OWN_USER };
        let listener = bind(&path, access, 1).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o620);
        assert!(matches!(bind(&path, access, 1), Err(BindError::InUse)));
        assert!(matches!(try_bind(&path), Err(BindError::InUse)));
        // Also one that lets nobody in any more.
        let _waiting: Vec<_> =
            (0..3).map(|_| Socket::new(Domain::UNIX, Type::STREAM, None).unwrap()).collect();
        for socket in &_waiting {
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&SockAddr::unix(&path).unwrap());
        }
        assert!(matches!(bind(&path, access, 1), Err(BindError::InUse)));
        drop(listener);
        try_bind(&path).unwrap();
        assert!(path.exists(), "a try changes nothing");
        let _listener = bind(&path, access, 1).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "mine").unwrap();
        assert!(matches!(bind(&path, access, 1), Err(BindError::NotASocket)));
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        let nowhere = directory.path().join("none/x.sock");
        assert!(matches!(bind(&nowhere, access, 1), Err(BindError::Io(_))));
    }

    #[tokio::test]
    async fn a_file_goes_with_its_socket_unless_it_is_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.sock");
        let _listener = bind(&path, Access::OWN_USER, 1).unwrap();
        drop(SocketFile::at(&path).unwrap());
        assert!(!path.exists());
        let _listener = bind(&path, Access::OWN_USER, 1).unwrap();
        let file = SocketFile::at(&path).unwrap();
        std::fs::rename(&path, directory.path().join("kept")).unwrap();
        let _other = bind(&path, Access::OWN_USER, 1).unwrap();
        let others = std::fs::metadata(&path).unwrap().mode();
        assert!(file.apply(Access { mode: 0o666, ..Access::OWN_USER }).is_err());
        assert_eq!(std::fs::metadata(&path).unwrap().mode(), others);
        drop(file);
        assert!(path.exists(), "another one's");
        // One that another process still uses stays, until that one is gone.
        let mut file = SocketFile::at(&path).unwrap().left();
        file.own();
        drop(file);
        assert!(!path.exists());
    }
}
