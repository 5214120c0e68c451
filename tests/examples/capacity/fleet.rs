//! Verifiers and drafters as processes, ended with the object.

use std::{
    error::Error,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use proto::verifier::Client;
use serde_json::Value;

/// Services that are running.
pub(crate) struct Fleet {
    verifiers: Vec<Service>,
    _drafters: Vec<Service>,
    clients: Vec<Client>,
}

/// One service.
struct Service {
    child: Child,
    url: String,
}

impl Fleet {
    /// Starts the given numbers of verifiers and drafters; each verifier knows all drafters.
    pub(crate) fn start(
        folder: &str,
        target: &str,
        drafter: &str,
        (verifiers, drafters): (usize, usize),
    ) -> Result<Self, Box<dyn Error>> {
        let drafters = (0..drafters)
            .map(|_| Service::start(folder, "drafter-service", drafter, &[]))
            .collect::<Result<Vec<_>, _>>()?;
        let known: Vec<&str> = drafters
            .iter()
            .flat_map(|drafter| ["--drafter", &drafter.url])
            .collect();
        let verifiers = (0..verifiers)
            .map(|_| Service::start(folder, "verifier-service", target, &known))
            .collect::<Result<Vec<_>, _>>()?;
        let client = |service: &Service| Ok(Client::new(chassis::channel::lazy(&service.url)?));
        let clients: Result<Vec<Client>, Box<dyn Error>> = verifiers.iter().map(client).collect();
        Ok(Self {
            clients: clients?,
            verifiers,
            _drafters: drafters,
        })
    }

    /// A client of the verifier whose turn it is.
    pub(crate) fn client(&self, number: usize) -> Client {
        self.clients[number % self.clients.len()].clone()
    }

    /// Resident memory of all verifiers, where the system reports it.
    pub(crate) fn verifier_kilobytes(&self) -> u64 {
        let of = |service: &Service| {
            let status = fs::read_to_string(format!("/proc/{}/status", service.child.id())).ok()?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        };
        self.verifiers.iter().filter_map(of).sum()
    }
}

impl Service {
    fn start(
        folder: &str,
        name: &str,
        profile: &str,
        args: &[&str],
    ) -> Result<Self, Box<dyn Error>> {
        let model = format!("simulated:{profile}");
        let room = [
            "--max-sessions",
            "1000",
            "--queue",
            "4000",
            "--batch-rows",
            "2048",
        ];
        let mut child = Command::new(Path::new(folder).join(name))
            .args([
                "--model",
                &model,
                "--listen",
                "127.0.0.1:0",
                "--log-format",
                "json",
                "--threads",
                "1",
            ])
            .args(room)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut log = BufReader::new(child.stderr.take().ok_or("no log")?).lines();
        let address = log.by_ref().map_while(Result::ok).find_map(|line| {
            let line: Value = serde_json::from_str(&line).ok()?;
            let address = line["address"].as_str()?.to_owned();
            (line["message"] == "serving").then_some(address)
        });
        // Nobody reads the log from here on, and a full pipe would stop the service.
        thread::spawn(move || log.for_each(drop));
        let mut service = Self {
            child,
            url: String::new(),
        };
        let address = address.ok_or_else(|| format!("{name} did not start"))?;
        service.url = format!("http://{address}");
        Ok(service)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
