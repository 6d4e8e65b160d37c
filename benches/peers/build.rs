//! Writes the gRPC client and server of the tonic sides from a description in Rust, so that no protoc is needed.

use tonic_build::manual::{Builder, Method, MethodBuilder, Service};

fn method(name: &str, route: &str) -> MethodBuilder {
    Method::builder()
        .name(name)
        .route_name(route)
        .input_type("crate::side::tonic::Numbered")
        .output_type("crate::side::tonic::Numbered")
        .codec_path("tonic_prost::ProstCodec")
}

fn main() {
    let node = Service::builder()
        .name("Node")
        .package("bench")
        .method(method("total", "Total").build())
        .method(method("sink", "Sink").client_streaming().build())
        .method(method("echo", "Echo").client_streaming().server_streaming().build())
        .build();
    Builder::new().compile(&[node]);
}
