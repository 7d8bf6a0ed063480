use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::FAR;
use super::Kind;
use super::Setting;

/// nginx with everything that was found to make it faster in front of a registry.
pub(super) const NGINX: Kind = Kind {
    name: "nginx",
    family: "nginx",
    usual: true,
    scene: None,
    program: Cow::Borrowed("nginx"),
    install: "apt-get install nginx",
    version: &["-V"],
    command: |program, setting| start(program, setting, Tuning::Most),
};

/// nginx with what a registry needs and nothing else: some things it does better so.
pub(super) const NGINX_DEFAULT: Kind = Kind {
    name: "nginx-default",
    command: |program, setting| start(program, setting, Tuning::None),
    ..NGINX
};

/// nginx with a window of HTTP/2 that fills a long way. It is allocated for each upload.
pub(super) const NGINX_WIDE: Kind = Kind {
    name: "nginx-wide",
    scene: Some(FAR),
    command: |program, setting| start(program, setting, Tuning::Wide),
    ..NGINX
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tuning {
    Most,
    Wide,
    None,
}

fn start(program: &Path, setting: &Setting<'_>, tuning: Tuning) -> Result<Command> {
    let directory = setting.directory;
    let file = directory.join("nginx.conf");
    fs::write(&file, configuration(setting, tuning))?;
    let mut command = Command::new(program);
    command.arg("-e").arg("stderr").arg("-p").arg(directory).arg("-c").arg(file);
    Ok(command)
}

/// Larger pieces, and a larger window.
fn sizes(window: &str) -> String {
    format!(
        "tcp_nodelay on;
    client_body_buffer_size 256k;
    http2_body_preread_size {window};
    ssl_buffer_size 64k;
    proxy_buffer_size 64k;
    proxy_buffers 8 64k;
    proxy_busy_buffers_size 128k;"
    )
}

fn configuration(setting: &Setting<'_>, tuning: Tuning) -> String {
    let Setting { port, upstream, pki, directory, .. } = setting;
    let (certificate, key) = (pki.certificate.display(), pki.key.display());
    let directory = directory.display();
    let (sizes, listen) = match tuning {
        Tuning::Most => (sizes("1m"), " reuseport"),
        Tuning::Wide => (sizes("16m"), " reuseport"),
        Tuning::None => (String::new(), ""),
    };
    // Requests on one connection are not limited, or the handshakes would be measured with them. The
    // headers are those that the registry's documentation asks for.
    format!(
        "daemon off;
user root;
worker_processes 2;
pid {directory}/pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 100000000;
    client_max_body_size 0;
    {sizes}
    upstream registry {{
        server 127.0.0.1:{upstream};
        keepalive 64;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port} ssl http2{listen};
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{
            proxy_pass http://registry;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            proxy_read_timeout 900s;
            proxy_set_header Connection \"\";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"
    )
}
