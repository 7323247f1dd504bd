//! The worker keeps PEP 3333 to the letter: environ, start_response, bodies, input, failures.

mod bodies;
mod environment;
mod failures;
mod input;
mod paragraphs;
mod start_response;
mod streamed_input;
mod validate;

use harness::{Application, Request, Response, Scratch};

/// The application `pep3333` on one worker, and the file in which it notes what happens out of sight.
struct Pages {
    application: Application,
    scratch: Scratch,
}

impl Pages {
    fn start() -> Self {
        Self::with("")
    }

    fn with(options: &str) -> Self {
        let scratch = Scratch::new();
        let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        scratch.write("file.bin", bytes);
        let environment = "env = EVENTS=SCRATCH/events\nenv = GO=SCRATCH/go\nenv = FILE=SCRATCH/file.bin\n";
        let application = Application::start(&scratch, "pep3333", &format!("{environment}{options}"));
        Self { application, scratch }
    }

    #[track_caller]
    fn get(&self, target: &str) -> Response {
        Request::get(target).send(&self.application.address)
    }

    /// What the application has noted so far.
    fn events(&self) -> Vec<String> {
        self.scratch.read("events").lines().map(str::to_owned).collect()
    }

    fn log(&self) -> String {
        self.application.process.output()
    }

    /// The worker is well: it answers as ever.
    #[track_caller]
    fn assert_well(&self) {
        assert_eq!(self.get("/hello").status, 200);
    }

    #[track_caller]
    fn wait_for_log(&mut self, text: &str) {
        self.application.process.wait_for_output(text);
    }
}
