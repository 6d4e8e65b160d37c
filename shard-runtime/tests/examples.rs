//! Every example does what it says: each is a test, too.

#![expect(dead_code, reason = "an example is a program of its own; here only its `main` is called")]

#[path = "../examples/counter.rs"]
mod counter;
#[path = "../examples/dedicated_thread.rs"]
mod dedicated_thread;
#[path = "../examples/hello.rs"]
mod hello;
#[path = "../examples/http_service.rs"]
mod http_service;
#[path = "../examples/pool.rs"]
mod pool;
#[path = "../examples/pubsub.rs"]
mod pubsub;
#[path = "../examples/supervision.rs"]
mod supervision;
#[path = "../examples/tcp_echo.rs"]
mod tcp_echo;
#[path = "../examples/testing_a_service.rs"]
mod testing_a_service;
#[path = "../examples/websocket_chat.rs"]
mod websocket_chat;

#[test]
fn hello_runs() {
    hello::main().unwrap();
}

#[test]
fn counter_runs() {
    counter::main().unwrap();
}

#[test]
fn supervision_runs() {
    supervision::main().unwrap();
}

#[test]
fn pool_runs() {
    pool::main().unwrap();
}

#[test]
fn pubsub_runs() {
    pubsub::main().unwrap();
}

#[test]
fn dedicated_thread_runs() {
    dedicated_thread::main().unwrap();
}

#[test]
fn tcp_echo_runs() {
    tcp_echo::main().unwrap();
}

#[test]
fn http_service_runs() {
    http_service::main().unwrap();
}

#[test]
fn websocket_chat_runs() {
    websocket_chat::main().unwrap();
}

#[test]
fn testing_a_service_runs() {
    testing_a_service::main().unwrap();
}
