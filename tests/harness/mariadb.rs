//! A MariaDB server of the test's own, on a socket in its folder.

use crate::{Launch, Process, Scratch, programs, servers, wait_until};

/// A running server with an empty database `server_dev`. It ends when the value is dropped.
#[derive(Debug)]
pub struct MariaDb {
    socket: String,
    _server: Process,
}

impl MariaDb {
    /// Makes a data folder and starts a server on it.
    #[track_caller]
    pub fn start(scratch: &Scratch) -> Self {
        let socket = scratch.text_path("database/server.socket");
        let data = scratch.text_path("database/data");
        scratch.make_folder("database");
        // mariadbd refuses to be root unless told so.
        let user = if servers::is_root() { vec!["--user=root"] } else { Vec::new() };
        let install = Launch::new(scratch, "mariadb-install", programs::mariadb_install_db()).arg("--no-defaults");
        let install = install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]).args(&user);
        let ended = install.arg(format!("--datadir={data}")).run();
        assert!(ended.status.success(), "mariadb-install-db: {}", ended.output);

        let server = Launch::new(scratch, "mariadbd", programs::mariadbd()).arg("--no-defaults").args(&user);
        let server = server.arg(format!("--datadir={data}")).arg(format!("--socket={socket}"));
        let server =
            server.arg(format!("--pid-file={data}/server.process")).args(["--skip-networking", "--skip-log-bin"]);
        let mut server = server.args(["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M"]).start();
        wait_until("MariaDB answers", || {
            assert!(server.is_running(), "mariadbd has ended: {}", server.output());
            run(scratch, &socket, "SELECT 1")
        });
        let create = "CREATE DATABASE server_dev CHARACTER SET utf8mb4";
        assert!(run(scratch, &socket, create), "the database cannot be made");
        Self { socket, _server: server }
    }

    /// What names it to the example site.
    pub fn url(&self) -> String {
        format!("mysql://root@/server_dev?unix_socket={}", self.socket)
    }

    /// Runs a statement in the site's database; its rows as text.
    #[track_caller]
    pub fn query(&self, scratch: &Scratch, statement: &str) -> String {
        let ended = client(scratch, &self.socket, statement).args(["--database", "server_dev"]).run();
        assert!(ended.status.success(), "{statement}: {}", ended.output);
        ended.output
    }
}

fn run(scratch: &Scratch, socket: &str, statement: &str) -> bool {
    client(scratch, socket, statement).run().status.success()
}

fn client(scratch: &Scratch, socket: &str, statement: &str) -> Launch {
    let client =
        Launch::new(scratch, "mariadb", programs::mariadb()).arg("--no-defaults").arg(format!("--socket={socket}"));
    // Otherwise it goes by the locale, which a machine need not have.
    let client = client.arg("--default-character-set=utf8mb4");
    client.args(["--user=root", "--batch", "--skip-column-names", "-e", statement])
}
