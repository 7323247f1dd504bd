//! What a pool is to be: its options, looked at as far as can be done before anything is made for it.

use std::io;
use std::path::{Path, PathBuf};

use daemun_master::Identity;
use daemun_server::backend::BackendId;

use crate::error::PoolError;
use crate::options::{LogTarget, PoolOptions};

/// A pool that could be started as far as anybody can tell beforehand: its folders are there, its users are known.
///
/// It holds neither memory nor descriptors, so that a configuration can be judged by it alone.
pub struct Definition {
    /// Its name in logs and in `app:NAME`.
    pub name: String,
    /// What was configured.
    pub options: PoolOptions,
    /// Its number.
    pub id: BackendId,
    /// What is not obeyed in this process, in a sentence each.
    pub warnings: Vec<String>,
}

impl Definition {
    /// Looks at what was configured.
    ///
    /// # Errors
    /// See [`PoolError`]; what can be found out before a process is started is found out here.
    pub fn new(name: &str, options: PoolOptions, id: BackendId) -> Result<Self, PoolError> {
        // Programs may be all that there is to answer.
        let has_application = options.application().is_some() || !options.mounts.is_empty();
        if !has_application && options.need_app && options.cgi.mounts.is_empty() {
            return Err(PoolError::NoApplication);
        }
        let mut definition = Self { name: name.to_owned(), options, id, warnings: Vec::new() };
        definition.check_cheaper()?;
        definition.check_folder()?;
        definition.interpreter()?;
        definition.check_accounts()?;
        definition.place()?;
        for path in &definition.options.static_files.mime_files {
            if let Err(error) = std::fs::metadata(path) {
                definition.warnings.push(format!("option \"mimefile\": {}: {error}", path.display()));
            }
        }
        Ok(definition)
    }

    /// As uWSGI: nothing would be left to come and go.
    fn check_cheaper(&mut self) -> Result<(), PoolError> {
        let (cheaper, processes) = (&mut self.options.cheaper, self.options.processes.get());
        if cheaper.minimum > 0 && u32::from(cheaper.minimum) >= processes {
            let text = format!("`cheaper` ({}) must be lower than `processes` ({processes})", cheaper.minimum);
            return Err(PoolError::Unsupported(text));
        }
        if cheaper.minimum > 0 && cheaper.initial > 0 && u32::from(cheaper.initial) > processes {
            let text = format!("`cheaper-initial` ({}) is more than `processes` ({processes})", cheaper.initial);
            return Err(PoolError::Unsupported(text));
        }
        Ok(())
    }

    fn check_folder(&self) -> Result<(), PoolError> {
        let Some(path) = &self.options.chdir else { return Ok(()) };
        std::fs::metadata(path)
            .and_then(|folder| if folder.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) })
            .map_err(|source| PoolError::Directory { path: path.clone(), source })
    }

    /// Who is not root is no other user either; a name that nobody has is wrong whoever reads it.
    fn check_accounts(&mut self) -> Result<(), PoolError> {
        let user = self.user()?;
        let owner = self.socket_owner()?;
        if Identity::can_switch() {
            return Ok(());
        }
        for (option, wanted) in [("uid", user), ("chown-socket", owner)] {
            if wanted.is_some_and(|identity| !identity.is_current()) {
                self.warnings.push(format!(
                    "option \"{option}\" makes sense only if the master process runs with super-user privileges, ignored"
                ));
            }
        }
        Ok(())
    }

    fn user(&self) -> Result<Option<Identity>, PoolError> {
        match (&self.options.uid, &self.options.gid) {
            (None, None) => Ok(None),
            (Some(user), group) => Ok(Some(Identity::look_up(user, group.as_deref())?)),
            (None, Some(group)) => {
                let user = rustix::process::geteuid().as_raw().to_string();
                Ok(Some(Identity::look_up(&user, Some(group))?))
            }
        }
    }

    /// Whom unix sockets are to be given to.
    pub(crate) fn socket_owner(&self) -> Result<Option<Identity>, PoolError> {
        let Some(text) = self.options.chown_socket.as_deref() else { return Ok(None) };
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        Ok(Some(Identity::look_up(user, group)?))
    }

    /// Who the pool's processes run as; `None`: who starts them.
    ///
    /// # Errors
    /// When `uid` or `gid` names nobody.
    pub fn identity(&self) -> Result<Option<Identity>, PoolError> {
        if Identity::can_switch() { self.user() } else { Ok(None) }
    }

    /// The file that the pool's processes write their log to; `None` where it goes where the master's goes.
    ///
    /// As in uWSGI, a logger stands before the file that standard output was sent to.
    #[must_use]
    pub fn log_path(&self) -> Option<&Path> {
        let options = &self.options;
        let from_loggers = options.loggers.iter().find_map(LogTarget::file);
        from_loggers.or(options.daemonize.as_deref()).or(options.logto.as_deref())
    }

    /// The interpreter: the virtualenv's own, else the first `python3` there is.
    ///
    /// # Errors
    /// [`PoolError::Virtualenv`]
    pub fn interpreter(&self) -> Result<PathBuf, PoolError> {
        let Some(folder) = &self.options.virtualenv else { return Ok(PathBuf::from("python3")) };
        let python = folder.join("bin/python");
        if python.exists() { Ok(python) } else { Err(PoolError::Virtualenv(folder.clone())) }
    }

    /// The zygote's name in the master's log.
    #[must_use]
    pub fn process_name(&self) -> String {
        format!("app \"{}\"", self.name)
    }
}
