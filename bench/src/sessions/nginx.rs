//! nginx that hashes the session's header over the servers, as an operator without an inference gateway would set it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::process::{Process, find};

/// Connections that it keeps to the servers.
const KEPT: u32 = 512;

/// Starts it at `address`; its files go to `folder`.
///
/// # Errors
/// It is not installed or does not listen.
pub fn start(address: SocketAddr, servers: &[SocketAddr], folder: &Path) -> anyhow::Result<Process> {
    let program = find("nginx").context("nginx is not installed")?;
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config(address, servers, folder))?;
    let mut command = Command::new(program);
    command.arg("-c").arg(&file).arg("-p").arg(folder).arg("-e").arg(folder.join("error.log"));
    let mut process = Process::start("nginx", command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    process.wait_listening(address)?;
    Ok(process)
}

fn config(address: SocketAddr, servers: &[SocketAddr], folder: &Path) -> String {
    let mut upstream = String::new();
    for server in servers {
        let _ = writeln!(upstream, "    server {server};");
    }
    let folder = folder.display();
    format!(
        "daemon off; master_process off; pid {folder}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off; tcp_nodelay on;
  client_max_body_size 64m; client_body_buffer_size 4m; client_body_temp_path {folder};
  proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream servers {{
    hash $http_x_session_id consistent;
{upstream}    keepalive {KEPT};
  }}
  server {{
    listen {address} backlog=4096;
    location / {{
      proxy_pass http://servers; proxy_http_version 1.1; proxy_set_header Connection \"\";
      proxy_buffering off; proxy_read_timeout 3600s;
    }}
  }}
}}
"
    )
}
