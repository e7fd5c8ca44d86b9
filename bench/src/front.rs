//! What stands between the load and the backends: roadstead, nginx, or nothing.
//!
//! nginx gets what a careful operator would set for this traffic: kept-alive upstream connections, no access log, one
//! worker, request bodies held in memory, and no buffering of answers where they are streams.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::process::{self, Process, free_address};
use crate::traffic;

/// A started front, ready to serve.
pub struct Front {
    pub address: SocketAddr,
    /// None: the load goes to a backend directly.
    pub process: Option<Process>,
    _folder: Option<Folder>,
}

/// Which front to start. The first is the peer that the others are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contender {
    Nginx,
    Direct,
    Roadstead(Settings),
}

/// How roadstead is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub binary: PathBuf,
    /// None: as many as there are cores.
    pub workers: Option<u16>,
    pub access_log: bool,
    pub scrape_interval: Duration,
}

impl Settings {
    /// One worker as nginx has, and everything else as it comes.
    pub fn one_worker(binary: &Path) -> Settings {
        Settings {
            binary: binary.to_path_buf(),
            workers: Some(1),
            access_log: true,
            scrape_interval: Duration::from_millis(50),
        }
    }
}

impl Contender {
    /// Its name in tables.
    pub fn name(&self) -> String {
        let Contender::Roadstead(settings) = self else {
            return if *self == Contender::Nginx { "nginx" } else { "direct" }.to_owned();
        };
        let mut name = "roadstead".to_owned();
        if settings.workers.is_none() {
            name.push_str(", worker per core");
        }
        if !settings.access_log {
            name.push_str(", no access log");
        }
        if settings.scrape_interval > Duration::from_secs(1) {
            name.push_str(", hardly scraping");
        }
        name
    }

    /// Starts it before `backends`.
    ///
    /// # Errors
    /// It did not start.
    pub fn start(&self, backends: &[SocketAddr]) -> anyhow::Result<Front> {
        let front = match self {
            Contender::Nginx => nginx(backends)?,
            Contender::Direct => {
                let address = *backends.first().context("no backend")?;
                Front { address, process: None, _folder: None }
            }
            Contender::Roadstead(settings) => roadstead(settings, backends)?,
        };
        traffic::wait_ready(front.address)?;
        Ok(front)
    }
}

/// nginx, unless it is not installed: then it is said and left out.
pub fn nginx_if_installed() -> Option<Contender> {
    if process::find("nginx").is_none() {
        eprintln!("nginx is not installed (`cargo xtask tools` installs it): its part is left out");
        return None;
    }
    Some(Contender::Nginx)
}

fn roadstead(settings: &Settings, backends: &[SocketAddr]) -> anyhow::Result<Front> {
    let (address, admin) = (free_address()?, free_address()?);
    let mut command = Command::new(&settings.binary);
    command.arg("serve").args(backends.iter().map(|backend| format!("http://{backend}")));
    command.args(["--port", &address.port().to_string(), "--admin-port", &admin.port().to_string()]);
    command.args(["--scrape-interval-ms", &settings.scrape_interval.as_millis().to_string()]);
    command.args(["--access-log", if settings.access_log { "on" } else { "off" }]);
    if let Some(workers) = settings.workers {
        command.args(["--workers", &workers.to_string()]);
    }
    let mut process = Process::start("roadstead", command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    process.wait_listening(address)?;
    Ok(Front { address, process: Some(process), _folder: None })
}

fn nginx(backends: &[SocketAddr]) -> anyhow::Result<Front> {
    let program = process::find("nginx").context("nginx is not installed")?;
    let address = free_address()?;
    let folder = Folder::new(address.port())?;
    let file = folder.0.join("nginx.conf");
    fs::write(&file, configuration(address, backends, &folder.0)?)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(&folder.0).arg("-c").arg(&file).arg("-e").arg("/dev/null");
    let mut process = Process::start("nginx", command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    process.wait_listening(address)?;
    Ok(Front { address, process: Some(process), _folder: Some(folder) })
}

fn configuration(address: SocketAddr, backends: &[SocketAddr], folder: &Path) -> anyhow::Result<String> {
    let mut servers = String::new();
    for backend in backends {
        write!(servers, "server {backend}; ")?;
    }
    let mut temp = String::new();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(temp, "  {kind}_temp_path {}/{kind};", folder.display())?;
    }
    Ok(format!(
        "daemon off; master_process off; error_log /dev/null crit; pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 1000000000; client_body_buffer_size 1m;
{temp}
  upstream backends {{ {servers} keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen {address};
    location / {{
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_buffering off;
      proxy_pass http://backends;
    }}
  }}
}}
",
        folder = folder.display()
    ))
}

/// A folder of its own, removed with everything in it.
struct Folder(PathBuf);

impl Folder {
    fn new(port: u16) -> anyhow::Result<Folder> {
        let path = std::env::temp_dir().join(format!("roadstead-bench-{}-{port}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is a few small files in the folder for temporary ones.
        let _ = fs::remove_dir_all(&self.0);
    }
}
