//! Behaviours of a forked child.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use daemun_master::{ReadyNotice, Signal, SignalInbox};
use rustix::event::{PollFd, PollFlags};

/// Plays one of:
///
/// - `serve`: is ready; SIGTERM ends it, SIGQUIT too once the file `drained` is in the current directory
/// - `deaf`: is ready and hears no signal
/// - `refuse TEXT`: says why it cannot start
/// - `exit CODE`: ends without a word
/// - `panic`
/// - `once`: is ready the first time; fails as long as the file `broken` is in the current directory
pub fn act(behaviour: &str, notice: ReadyNotice) -> u8 {
    let (verb, rest) = behaviour.split_once(' ').unwrap_or((behaviour, ""));
    match verb {
        "serve" => serve(notice),
        "deaf" => deaf(notice),
        "refuse" => {
            notice.fail(rest);
            1
        }
        "exit" => rest.parse().unwrap_or(0),
        "panic" => panic!("as ordered"),
        "once" if Path::new("broken").exists() => 7,
        "once" => serve(notice),
        _ => 99,
    }
}

fn serve(notice: ReadyNotice) -> u8 {
    let inbox = SignalInbox::block(&[Signal::TERM, Signal::QUIT, Signal::USR1]).unwrap();
    notice.announce();
    loop {
        wait(&inbox);
        match inbox.next().unwrap() {
            Some(Signal::USR1) => eprintln!("[edge] reopened"),
            Some(Signal::QUIT) => break,
            Some(_) => return 0,
            None => {}
        }
    }
    eprintln!("[edge] draining");
    while !Path::new("drained").exists() {
        if inbox.next().unwrap() == Some(Signal::TERM) {
            return 0;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    eprintln!("[edge] drained");
    0
}

fn deaf(notice: ReadyNotice) -> u8 {
    let _inbox = SignalInbox::block(&[Signal::TERM, Signal::QUIT, Signal::INT, Signal::USR1]).unwrap();
    notice.announce();
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn wait(inbox: &SignalInbox) {
    let descriptor = inbox.as_fd();
    let _ = rustix::event::poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], None);
}
