//! `auth_basic`: who may, by name and password.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use daemun_conf::{Arity, Context, Diagnostic, Directive};
use daemun_http::StatusCode;
use daemun_http::credentials::BasicCredentials;
use daemun_server::config::{Build, HTTP_SERVER_LOCATION, setter};
use daemun_server::log::Level;
use daemun_server::{Handler, Module, Outcome, Phase, Request, Template};

use super::password::{Verdict, verify};

const PLACES: Context = HTTP_SERVER_LOCATION.or(Context::LIMIT_EXCEPT);

/// Named once, in the program's list of modules.
pub static MODULE: Module<AuthBasic> = Module {
    name: "auth_basic",
    directives: &[
        Directive {
            name: "auth_basic",
            contexts: PLACES,
            arity: Arity::Exactly(1),
            default: "off",
            help: "realm | off: asks for a name and a password of auth_basic_user_file",
            set: |conf, arguments| {
                let realm = setter::template(arguments, 0)?;
                arguments.set_once(&mut conf.realm, realm)
            },
        },
        Directive {
            name: "auth_basic_user_file",
            contexts: PLACES,
            arity: Arity::Exactly(1),
            default: "none",
            help: "file: a line name:password each; {PLAIN}, {SHA}, {SSHA}, crypt, $apr1$, $1$, $5$, $6$ and bcrypt passwords",
            set: |conf, arguments| {
                let file = setter::template(arguments, 0)?;
                arguments.set_once(&mut conf.user_file, file)
            },
        },
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; realm, user_file);
    },
    finish: AuthBasic::finish,
    is_active: |conf| conf.user_file.is_some() && conf.realm.as_ref().is_some_and(|realm| !is_off(realm)),
    phases: &[(Phase::Access, Handler::Sync(check))],
    filters: &[],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct AuthBasic {
    realm: Option<Template>,
    user_file: Option<Template>,
    /// Where a path begins that does not begin with a slash.
    folder: PathBuf,
}

impl AuthBasic {
    #[expect(clippy::unnecessary_wraps, reason = "the signature of every module's finish")]
    fn finish(&mut self, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        self.folder = build.configuration_folder();
        Ok(())
    }
}

fn is_off(realm: &Template) -> bool {
    realm.as_constant() == Some(b"off")
}

fn check(conf: &AuthBasic, request: &mut Request) -> Outcome {
    let (Some(realm), Some(user_file)) = (&conf.realm, &conf.user_file) else { return Outcome::Continue };
    let realm = realm.value(request);
    if realm == b"off" {
        return Outcome::Continue;
    }
    let credentials = request.authorization().and_then(BasicCredentials::parse);
    let Some(credentials) = credentials else {
        request.log(Level::Info, format_args!("no user/password was provided for basic authentication"));
        return challenge(&realm, request);
    };
    let path = user_file.value(request);
    // Variables may give a relative path too.
    let path = conf.folder.join(OsStr::from_bytes(&path));
    let path = path.as_path();
    let users = match read_users(path) {
        Ok(users) => users,
        Err(error) => return refuse_file(path, &error, request),
    };
    let name = String::from_utf8_lossy(credentials.user());
    let Some((_, kept)) = users.iter().find(|(user, _)| user.as_bytes() == credentials.user()) else {
        request.log(Level::Error, format_args!("user \"{name}\" was not found in \"{}\"", path.display()));
        return challenge(&realm, request);
    };
    match verify(credentials.password(), kept) {
        Verdict::Match => {
            request.is_authenticated = true;
            return Outcome::Allow;
        }
        Verdict::Mismatch => request.log(Level::Error, format_args!("user \"{name}\": password mismatch")),
        Verdict::Unknown => {
            let file = path.display();
            request
                .log(Level::Error, format_args!("user \"{name}\": password in \"{file}\" is of a form not supported"));
        }
    }
    challenge(&realm, request)
}

fn challenge(realm: &[u8], request: &mut Request) -> Outcome {
    request.challenges.push([b"Basic realm=\"", realm, b"\""].concat().into());
    Outcome::Finish(StatusCode::UNAUTHORIZED)
}

/// As in nginx, a file that is not there means that nobody may; another trouble is the server's.
fn refuse_file(path: &Path, error: &io::Error, request: &Request) -> Outcome {
    let (level, status) = match error.kind() {
        io::ErrorKind::NotFound => (Level::Error, StatusCode::FORBIDDEN),
        _ => (Level::Crit, StatusCode::INTERNAL_SERVER_ERROR),
    };
    let number = error.raw_os_error().unwrap_or(0);
    let reason = rustix::io::Errno::from_raw_os_error(number);
    request.log(level, format_args!("open() \"{}\" failed ({number}: {reason})", path.display()));
    Outcome::Finish(status)
}

/// Names and their kept passwords, in the order of the file.
type Users = Vec<(String, String)>;

/// User files that were read, each with its state at that time.
type KnownFiles = HashMap<Box<Path>, (Stamp, Rc<Users>)>;

/// What tells that a file has not changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The users of a file, read again when the file is another.
fn read_users(path: &Path) -> io::Result<Rc<Users>> {
    thread_local! {
        static KNOWN: RefCell<KnownFiles> = RefCell::default();
    }
    let stamp = Stamp::of(&fs::metadata(path)?);
    KNOWN.with_borrow_mut(|known| {
        if let Some((_, users)) = known.get(path).filter(|(read, _)| *read == stamp) {
            return Ok(Rc::clone(users));
        }
        let users = Rc::new(parse_users(&fs::read(path)?));
        // A path with variables may name any number of files.
        if known.len() >= USER_FILES_MAX {
            known.clear();
        }
        known.insert(path.into(), (stamp, Rc::clone(&users)));
        Ok(users)
    })
}

/// User files whose content each thread keeps.
const USER_FILES_MAX: usize = 64;

/// Lines `name:password` or `name:password:comment`; those that begin with `#` are comments.
fn parse_users(content: &[u8]) -> Users {
    let text = String::from_utf8_lossy(content);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let users = lines.filter_map(|line| {
        let (name, rest) = line.split_once(':')?;
        let password = rest.split(':').next().unwrap_or(rest);
        Some((name.to_owned(), password.trim_end_matches('\r').to_owned()))
    });
    users.collect()
}

#[cfg(test)]
mod tests {
    use super::parse_users;

    #[test]
    fn a_user_file_is_lines_of_names_and_passwords() {
        let users = parse_users(b"# comment\na:one\r\nb:two:a comment\n\nno colon\nc:\nd:{PLAIN}x y");
        let expected = [("a", "one"), ("b", "two"), ("c", ""), ("d", "{PLAIN}x y")];
        assert_eq!(users, expected.map(|(name, password)| (name.to_owned(), password.to_owned())));
    }
}
