//! compose.yaml and the Dockerfile say what the example's own script does. There is no container engine on most machines that
//! run this, so the files are read, and held against the script and the configuration.

use std::fs;

use harness::programs;
use yaml_rust2::{Yaml, YamlLoader};

#[test]
fn services_run_the_commands_of_the_script() {
    let compose = compose();
    let script = read("start");
    let lines: Vec<String> = script.lines().map(|line| line.replace("exec \"${DAEMUN:-daemun}\"", "daemun")).collect();
    for (service, start) in [
        ("migrate", "python manage.py migrate"),
        ("sample_data", "python manage.py sample_data"),
        ("site", "daemun run"),
    ] {
        let line =
            lines.iter().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("the script has no {start:?}"));
        let expected: Vec<&str> = line.split_whitespace().filter(|&word| word != "\"$@\"").collect();
        assert_eq!(words(&compose["services"][service]["command"]), expected, "{service}");
    }
    let dockerfile = read("Dockerfile");
    let command = dockerfile.lines().find_map(|line| line.strip_prefix("CMD ")).expect("the image has a command");
    let command: Vec<String> = serde_json::from_str(command).expect("the command is a JSON list");
    assert_eq!(command, words(&compose["services"]["site"]["command"]));
    for prepared in lines.iter().filter(|line| line.contains("collectstatic")) {
        assert!(dockerfile.contains(prepared.trim()), "the image is built without {prepared:?}");
    }
}

#[test]
fn services_fit_together() {
    let compose = compose();
    let services = compose["services"].as_hash().expect("there are services");
    for (name, service) in services {
        let name = name.as_str().expect("a service has a name");
        let has_source = service["image"].as_str().is_some() || !service["build"].is_badvalue();
        assert!(has_source, "{name} has neither image nor build");
        if let Some(needed) = service["depends_on"].as_hash() {
            for (other, how) in needed {
                assert!(services.contains_key(other), "{name} waits for {other:?}, which is not there");
                let condition = how["condition"].as_str().expect("a condition");
                let is_known =
                    matches!(condition, "service_started" | "service_healthy" | "service_completed_successfully");
                assert!(is_known, "{name}: {condition}");
                assert!(condition != "service_healthy" || !services[other]["healthcheck"].is_badvalue());
            }
        }
        for volume in service["volumes"].as_vec().into_iter().flatten() {
            let source = volume.as_str().and_then(|text| text.split(':').next()).expect("source:target");
            let is_declared = !compose["volumes"][source].is_badvalue();
            assert!(is_declared, "{name}: the volume {source} is not declared");
        }
        if let Some(dockerfile) = service["build"]["dockerfile"].as_str() {
            assert!(programs::repository().join(dockerfile).is_file(), "{dockerfile} does not exist");
        }
    }
}

#[test]
fn the_site_reaches_its_database_and_its_port() {
    let compose = compose();
    let services = &compose["services"];
    let url = services["site"]["environment"]["DATABASE_URL"].as_str().expect("the site is told its database");
    let database = &services["database"]["environment"];
    let user = database["MARIADB_USER"].as_str().expect("a user");
    let password = database["MARIADB_PASSWORD"].as_str().expect("a password");
    let name = database["MARIADB_DATABASE"].as_str().expect("a name");
    assert_eq!(url, format!("mysql://{user}:{password}@database:3306/{name}"));

    let listens = read("sites-enabled/server_dev");
    let port = words(&services["site"]["ports"]);
    let inside = port[0].rsplit(':').next().expect("outside:inside");
    assert!(listens.contains(&format!("listen {inside};")), "the site does not listen on {inside}");
}

fn compose() -> Yaml {
    let mut documents = YamlLoader::load_from_str(&read("compose.yaml")).expect("compose.yaml is YAML");
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn words(list: &Yaml) -> Vec<String> {
    let list = list.as_vec().expect("a list of words");
    list.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
}

fn read(name: &str) -> String {
    let path = programs::repository().join("examples/django").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
