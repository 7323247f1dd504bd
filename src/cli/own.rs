//! daemun's own command line.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{Mode, Request, Settings};
use crate::certify::Certified;
use crate::discovery;
use crate::explain::Asked;
use crate::manual::Manual;
use crate::paths;

/// Reads daemun's own command line.
pub fn parse(arguments: &[String]) -> Request {
    let words = std::iter::once("daemun").chain(arguments.iter().map(String::as_str));
    let matches = match command().try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => return Request::Refuse(error.to_string().trim_end().to_owned()),
        Err(answer) => return Request::Print(answer.to_string().trim_end().to_owned()),
    };
    match matches.subcommand() {
        Some(("run", matches)) => settings(matches).map_or_else(Request::Refuse, Request::Serve),
        Some(("check", matches)) => settings(matches).map_or_else(Request::Refuse, Request::Check),
        Some(("explain", matches)) => match (settings(matches), asked(matches)) {
            (Ok(settings), asked) => Request::Explain(settings, asked),
            (Err(message), _) => Request::Refuse(message),
        },
        Some(("cert", matches)) => Request::Certify(Certified {
            names: matches.get_many::<String>("names").unwrap_or_default().cloned().collect(),
            folder: matches.get_one::<PathBuf>("directory").cloned().unwrap_or_default(),
        }),
        Some(("manual", matches)) => match matches.get_one::<String>("which").map(String::as_str) {
            Some("options") => Request::Manual(Manual::Options),
            _ => Request::Manual(Manual::Directives),
        },
        _ => Request::Refuse(command().render_help().to_string()),
    }
}

fn command() -> Command {
    let run = configuration_arguments(
        Command::new("run").about(
            "Serves by an nginx.conf and uwsgi.ini files, everything in one supervision tree; without either, the application that the folder has",
        ),
        folder_argument(),
    );
    let run = run.arg(
        Arg::new("dev").long("dev").action(ArgAction::SetTrue).help(
            "For whoever writes the application: reload with each change of its source, tracebacks as pages, a line for each request",
        ),
    );
    let check = configuration_arguments(
        Command::new("check").about("Says what is wrong with a configuration, and what in it has no effect"),
        folder_argument(),
    );
    let about = "Says which server, location and handler would answer a request, and why not the others";
    let folder = folder_argument().short('f').long("folder");
    let explain = question_arguments(configuration_arguments(Command::new("explain").about(about), folder));
    let certify = Command::new("cert")
        .about("Makes a certificate for development, issued by a local authority that is made where there is none")
        .arg(
            Arg::new("names")
                .value_name("NAME")
                .num_args(1..)
                .required(true)
                .help("Hosts and addresses that it is for"),
        )
        .arg(
            Arg::new("directory")
                .short('d')
                .long("directory")
                .value_name("FOLDER")
                .value_parser(value_parser!(PathBuf))
                .help("Where the files are, in place of the present folder"),
        );
    let which = Arg::new("which").value_parser(["directives", "options"]).required(true);
    Command::new("daemun")
        .about("Web server, application server and gateway in one")
        .version(env!("CARGO_PKG_VERSION"))
        .arg_required_else_help(true)
        .subcommand_required(true)
        .subcommand(run)
        .subcommand(check)
        .subcommand(explain)
        .subcommand(certify)
        .subcommand(Command::new("web").about("nginx's command line: daemun web -h"))
        .subcommand(Command::new("app").about("uWSGI's command line: daemun app --help"))
        .subcommand(Command::new("manual").about("Prints a manual made of the tables").hide(true).arg(which))
}

fn folder_argument() -> Arg {
    Arg::new("folder")
        .value_name("FOLDER")
        .value_parser(value_parser!(PathBuf))
        .help("Folder with nginx.conf and uwsgi.ini, in place of -p, -c and --ini")
}

fn question_arguments(command: Command) -> Command {
    command
        .arg(Arg::new("url").value_name("URL").required(true).help("http://host[:port]/path, or a path"))
        .arg(
            Arg::new("method")
                .short('X')
                .long("method")
                .value_name("METHOD")
                .default_value("GET")
                .help("The request's method"),
        )
        .arg(
            Arg::new("fields")
                .short('H')
                .long("header")
                .value_name("HEADER")
                .action(ArgAction::Append)
                .help("A header, as \"Name: value\"; may be given several times"),
        )
        .arg(
            Arg::new("client")
                .long("client")
                .value_name("ADDRESS")
                .value_parser(value_parser!(IpAddr))
                .help("Who asks; 127.0.0.1 unless given"),
        )
        .arg(
            Arg::new("listen")
                .long("listen")
                .value_name("ADDRESS")
                .help("The listener that is asked, as address:port, where the URL leaves it open"),
        )
}

fn asked(matches: &ArgMatches) -> Asked {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    Asked {
        url: text("url").unwrap_or_default(),
        method: text("method").unwrap_or_default(),
        fields: matches.get_many::<String>("fields").unwrap_or_default().cloned().collect(),
        client: matches.get_one::<IpAddr>("client").copied(),
        listen: text("listen"),
    }
}

fn configuration_arguments(command: Command, folder: Arg) -> Command {
    let path = || value_parser!(PathBuf);
    command
        .arg(folder)
        .arg(
            Arg::new("prefix")
                .short('p')
                .long("prefix")
                .value_name("FOLDER")
                .value_parser(path())
                .help("Where relative paths begin"),
        )
        .arg(Arg::new("configuration").short('c').value_name("FILE").value_parser(path()).help("The nginx.conf"))
        .arg(
            Arg::new("ini")
                .long("ini")
                .value_name("FILE")
                .value_parser(path())
                .action(ArgAction::Append)
                .help("A uwsgi.ini; may be given several times"),
        )
        .arg(
            Arg::new("directives")
                .short('g')
                .value_name("DIRECTIVES")
                .help("Directives of the main context, in place of the file's own of the same names"),
        )
        .arg(
            Arg::new("error_log")
                .short('e')
                .value_name("FILE")
                .value_parser(path())
                .help("Error log until the configuration says otherwise"),
        )
}

fn settings(matches: &ArgMatches) -> Result<Settings, String> {
    let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
    let folder = path("folder").map(|folder| paths::absolute(&folder));
    let prefix = path("prefix")
        .map(|prefix| paths::absolute(&prefix))
        .or_else(|| folder.clone())
        .unwrap_or_else(|| paths::absolute(".".as_ref()));
    let in_folder = |name: &str| folder.as_ref().map(|folder| folder.join(name)).filter(|path| path.exists());
    let configuration = path("configuration").map(|path| prefix.join(path)).or_else(|| in_folder("nginx.conf"));
    let mut ini_files: Vec<PathBuf> =
        matches.get_many::<PathBuf>("ini").unwrap_or_default().map(|path| prefix.join(path)).collect();
    if ini_files.is_empty() {
        ini_files.extend(in_folder("uwsgi.ini"));
    }
    let is_for_development = matches.try_get_one::<bool>("dev").is_ok_and(|dev| dev == Some(&true));
    let mut pool_arguments = Vec::new();
    if configuration.is_none() && ini_files.is_empty() {
        let here = folder.clone().or_else(|| is_for_development.then(|| prefix.clone()));
        match here.as_ref().and_then(|here| discovery::find(here, is_for_development)) {
            Some(found) => pool_arguments = found,
            None => return Err(nothing_to_serve(here.as_deref())),
        }
    }
    Ok(Settings {
        mode: Mode::Run,
        prefix,
        configuration,
        directives: matches.get_one::<String>("directives").cloned(),
        error_log: path("error_log"),
        ini_files,
        pool_arguments,
        is_for_development,
        is_quiet: false,
        dumps: false,
    })
}

fn nothing_to_serve(folder: Option<&Path>) -> String {
    match folder {
        Some(folder) => {
            format!("daemun: neither nginx.conf nor uwsgi.ini in {}, and no application either", folder.display())
        }
        None => "daemun: nothing to serve: give a folder, -c nginx.conf or --ini uwsgi.ini".to_owned(),
    }
}
