//! uWSGI's `cgi = /path=folder`: programs at some of the paths of an application's own sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daemun_server::phase::Step;
use daemun_server::{LocalFuture, Outcome, Request};

use crate::cgi_pass::{self, CgiPass};
use crate::script::{self, NoScript, Script};

/// What the options of a pool say of programs.
#[derive(Clone, Debug, Default)]
pub struct MountSettings {
    /// Beginnings of paths, and the folder or the program behind each.
    pub mounts: Vec<(String, PathBuf)>,
    /// Endings of names, and what runs such files.
    pub helpers: Vec<(String, PathBuf)>,
    /// Names of programs that answer for their folder, in order.
    pub index: Vec<String>,
    /// How names of programs must end; empty for any.
    pub allowed_endings: Vec<String>,
    /// Folders that links may lead to, beside the mounted one.
    pub safe: Vec<PathBuf>,
    /// Variables that are not told.
    pub unset: Vec<String>,
    /// How long a program may say nothing.
    pub timeout: Option<Duration>,
    /// Octets of an answer's head.
    pub buffer_size: Option<u64>,
}

/// What a program is told besides what the RFC has, since uWSGI tells it.
#[derive(Clone, Debug)]
pub(crate) struct Conventions {
    /// `DOCUMENT_ROOT`.
    pub(crate) root: PathBuf,
    /// Variables that are not told.
    pub(crate) unset: Arc<Vec<String>>,
}

/// Hands the paths of its mounts to programs, and all others on.
pub struct Mounts {
    mounts: Vec<(String, Conventions)>,
    pass: CgiPass,
    index: Vec<String>,
    safe: Vec<PathBuf>,
    otherwise: Box<dyn Step>,
}

impl Mounts {
    /// Stands before `otherwise`; the longest mount that a path begins with holds.
    #[must_use]
    pub fn before(otherwise: Box<dyn Step>, settings: &MountSettings) -> Self {
        let unset = Arc::new(settings.unset.clone());
        let conventions = |root: &PathBuf| Conventions { root: root.clone(), unset: Arc::clone(&unset) };
        let mut mounts: Vec<_> = settings
            .mounts
            .iter()
            .map(|(path, root)| (path.trim_end_matches('/').to_owned(), conventions(root)))
            .collect();
        mounts.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        let pass = CgiPass::of_mounts(settings);
        Self { mounts, pass, index: settings.index.clone(), safe: settings.safe.clone(), otherwise }
    }

    fn mount(&self, uri: &[u8]) -> Option<&(String, Conventions)> {
        self.mounts.iter().find(|(path, _)| {
            let rest = uri.strip_prefix(path.as_bytes());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
    }

    fn script(&self, mount: &str, root: &Path, uri: &[u8]) -> Result<Script, NoScript> {
        if root.is_file() {
            let path = root.as_os_str().as_encoded_bytes().to_vec();
            return script::at(path, uri, None, mount.len());
        }
        let map = |name: &[u8]| {
            let below = std::str::from_utf8(name.strip_prefix(mount.as_bytes())?).ok()?;
            (!below.contains('\0')).then(|| root.join(below.trim_start_matches('/')))
        };
        let script = script::below(uri, map, &self.index)?;
        self.check_place(&script.path, root)?;
        self.pass.check_ending(&script.path)?;
        Ok(script)
    }

    /// A link may lead to where programs may lie, and nowhere else.
    fn check_place(&self, path: &Path, root: &Path) -> Result<(), NoScript> {
        let not_found = |source| NoScript::NotFound { path: path.to_owned(), source };
        let real = path.canonicalize().map_err(not_found)?;
        let is_below = |folder: &Path| folder.canonicalize().is_ok_and(|folder| real.starts_with(folder));
        if is_below(root) || self.safe.iter().any(|folder| is_below(folder)) {
            return Ok(());
        }
        Err(NoScript::Forbidden {
            path: path.to_owned(),
            reason: "it is a link to a place that cgi-safe does not name",
        })
    }
}

impl Step for Mounts {
    fn name(&self) -> &'static str {
        "cgi"
    }

    fn run(&self, request: &mut Request) -> Option<Outcome> {
        if self.mount(&request.uri).is_some() { None } else { self.otherwise.run(request) }
    }

    fn start<'a>(&'a self, request: &'a mut Request) -> LocalFuture<'a, Outcome> {
        let Some((mount, conventions)) = self.mount(&request.uri) else { return self.otherwise.start(request) };
        let found = self.script(mount, &conventions.root, &request.uri);
        Box::pin(cgi_pass::run(&self.pass, found, Some(conventions), request))
    }
}
