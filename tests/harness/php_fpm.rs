//! Debian's PHP-FPM, in the foreground, with one pool of the test's own.

use crate::{Address, Launch, Process, Scratch, programs};

/// Starts it; it listens at `SCRATCH/php.sock`. `directives` are further lines of the pool.
#[track_caller]
pub fn start(scratch: &Scratch, directives: &str) -> Process {
    let conf = format!(
        "[global]
error_log = SCRATCH/php.log
daemonize = no

[pool]
user = root
group = root
listen = SCRATCH/php.sock
listen.mode = 0666
pm = static
pm.max_children = 2
pm.status_path = /status
php_admin_value[upload_max_filesize] = 20M
php_admin_value[post_max_size] = 20M
php_admin_value[session.save_path] = SCRATCH/sessions
{directives}
"
    );
    scratch.make_folder("sessions");
    let conf = scratch.write("php-fpm.conf", conf);
    let launch = Launch::new(scratch, "php-fpm", programs::php_fpm()).arg("-F").arg("-R").arg("-y").arg(conf);
    let mut process = launch.arg("-c").arg(scratch.folder()).start();
    process.wait_for(&Address::Unix(scratch.path("php.sock")));
    process
}
