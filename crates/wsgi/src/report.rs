//! The numbers of a pool as one JSON text, in uWSGI's shape.

use serde_json::{Value, json};

use crate::place::Running;
use crate::supervisor::Supervisor;
use crate::wear::Memory;

impl Supervisor<'_> {
    /// The text.
    pub(crate) fn report(&self) -> String {
        let workers: Vec<Value> = (0..self.crew.len()).map(|number| self.report_worker(number)).collect();
        let socket = |(name, protocol): &(String, String)| json!({"name": name, "proto": protocol, "queue": 0, "max_queue": 0, "shared": 0, "can_offload": 0});
        let busy = workers.iter().filter(|worker| worker["status"] == "busy").count();
        let master = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        let mut report = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "listen_queue": self.observer.queued(),
            "listen_queue_errors": 0,
            "signal_queue": 0,
            "load": busy,
            "pid": master,
            "uid": rustix::process::getuid().as_raw(),
            "gid": rustix::process::getgid().as_raw(),
            "cwd": std::env::current_dir().unwrap_or_default().to_string_lossy(),
            "locks": [],
            "sockets": self.settings.sockets.iter().map(socket).collect::<Vec<_>>(),
            "workers": workers,
        });
        let crons = self.attendants.report();
        if !crons.is_empty() {
            report["crons"] = crons.into();
        }
        report.to_string()
    }

    fn report_worker(&self, number: usize) -> Value {
        let found = self.running().filter(|(_, one)| usize::from(one.number) == number);
        // While one takes the other's place there are two: the one that serves counts.
        let found = found.min_by_key(|(_, one)| one.is_held);
        let member = self.crew.members().get(number);
        let seats = found.map_or(0..0, |(place, _)| self.end.layout().seats_of(self.worker_at(place)));
        let mut core_reports = Vec::new();
        for (core, seat) in seats.enumerate() {
            let counters = self.observer.counters(seat);
            core_reports.push(json!({
                "id": core, "requests": counters.served, "static_requests": 0, "routed_requests": 0,
                "offloaded_requests": 0, "write_errors": 0, "read_errors": 0,
                "in_request": u8::from(self.observer.busy_since_ms(seat).is_some()), "vars": [], "req_info": {},
            }));
        }
        let is_busy = core_reports.iter().any(|core| core["in_request"] == 1);
        let own = found.map(|(place, one)| self.counters(self.worker_at(place)).since(one.before)).unwrap_or_default();
        let all = member.map_or(own, |member| member.past.plus(own));
        let memory = found.map_or_else(Memory::default, |(_, one)| Memory::read(one.pid));
        let app = json!({"id": 0, "modifier1": 0, "mountpoint": "", "startup_time": 0, "requests": own.served,
            "exceptions": own.exceptions, "chdir": ""});
        json!({
            "id": number + 1,
            "pid": found.map_or(0, |(_, one)| one.process_number()),
            "accepting": u8::from(found.is_some_and(|(_, one)| accepts(one)) && !self.crew.is_paused),
            "requests": all.served,
            "delta_requests": own.served,
            "exceptions": all.exceptions,
            "harakiri_count": member.map_or(0, |member| member.harakiris),
            "signals": 0,
            "signal_queue": 0,
            "status": self.status_of(found.map(|(_, one)| one), is_busy),
            "rss": memory.resident,
            "vsz": memory.address_space,
            "uss": 0,
            "pss": 0,
            "running_time": all.running_us,
            "last_spawn": member.map_or(0, |member| member.last_spawn),
            "respawn_count": member.map_or(0, |member| member.spawns),
            "tx": all.sent,
            "avg_rt": all.average_us,
            "apps": [app],
            "cores": core_reports,
        })
    }

    fn status_of(&self, running: Option<&Running>, is_busy: bool) -> &'static str {
        match running {
            None => "cheap",
            Some(_) if is_busy => "busy",
            Some(_) if self.crew.is_paused => "pause",
            Some(_) => "idle",
        }
    }
}

fn accepts(running: &Running) -> bool {
    running.is_up && !running.is_held && running.stopping.is_none()
}
