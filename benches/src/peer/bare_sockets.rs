//! Servers without actors: hyper on tokio, and an echo on glommio, each on processor 1.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::mpsc;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::{LocalExecutorBuilder, Placement, spawn_local};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::error::RunError;
use crate::machine::{cpu_count, pin};
use crate::own::sockets::{ECHO, HELLO, REQUEST, drive};
use crate::workload::Run;

/// hyper on a current-thread runtime of tokio; thousands of answers per second.
///
/// # Errors
/// The server cannot be started or reached.
pub fn hyper_hello(run: Run) -> Result<f64, RunError> {
    let (told, address) = mpsc::channel();
    let server = std::thread::Builder::new().spawn(move || serve_hyper(&told));
    server.map_err(RunError::io("starting a thread"))?;
    let address = address.recv().map_err(RunError::work)?;
    drive(run, address, REQUEST, HELLO.as_bytes())
}

fn serve_hyper(told: &mpsc::Sender<SocketAddr>) -> Result<(), RunError> {
    pin(1)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(RunError::io("starting a current-thread runtime"))?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.map_err(RunError::io("listening"))?;
        let address = listener.local_addr().map_err(RunError::io("listening"))?;
        told.send(address).map_err(RunError::work)?;
        loop {
            let (stream, _) = listener.accept().await.map_err(RunError::io("accepting"))?;
            stream.set_nodelay(true).map_err(RunError::io("setting up a connection"))?;
            tokio::task::spawn_local(async move {
                // The same limits as our server has.
                let serving = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(std::time::Duration::from_secs(15))
                    .serve_connection(TokioIo::new(stream), service_fn(hello));
                // The client has gone: the run is over.
                let _ = serving.await;
            });
        }
    })
}

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(HELLO.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

/// A task per connection on a glommio executor; thousands of echoes per second.
///
/// # Errors
/// The server cannot be started or reached.
pub fn glommio_echo(run: Run) -> Result<f64, RunError> {
    let (told, address) = mpsc::channel();
    let server = LocalExecutorBuilder::new(Placement::Fixed(1 % cpu_count())).io_memory(64 << 10);
    let _serves_until_the_process_ends = server
        .spawn(move || async move {
            let listener = glommio::net::TcpListener::bind("127.0.0.1:0").map_err(RunError::work)?;
            told.send(listener.local_addr().map_err(RunError::work)?).map_err(RunError::work)?;
            loop {
                let mut stream = listener.accept().await.map_err(RunError::work)?;
                stream.set_nodelay(true).map_err(RunError::work)?;
                spawn_local(async move {
                    let mut buffer = vec![0; 64 << 10];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        if stream.write_all(&buffer[..read]).await.is_err() {
                            return;
                        }
                    }
                })
                .detach();
            }
            #[expect(unreachable_code, reason = "names the type of the error")]
            Ok::<(), RunError>(())
        })
        .map_err(RunError::work)?;
    drive(run, address.recv().map_err(RunError::work)?, ECHO, ECHO)
}
