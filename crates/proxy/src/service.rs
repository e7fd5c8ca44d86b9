//! The front as `net`'s server calls it: one service per connection, one future per request.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use roadstead_epp::PoolHandle;
use roadstead_net::UpstreamPool;
use roadstead_telemetry::AccessLog;

use crate::forward::forward;
use crate::limits::ProxyLimits;
use crate::models::ModelLists;
use crate::request_head::Client;
use crate::response::Answer;
use crate::targets::Targets;

/// Everything that requests share.
pub struct Front {
    pub(crate) pool: PoolHandle,
    pub(crate) upstreams: UpstreamPool,
    pub(crate) targets: Targets,
    pub(crate) models: ModelLists,
    pub(crate) limits: ProxyLimits,
    pub(crate) log: AccessLog,
}

impl Front {
    /// A front that places requests by `pool` and sends them through `upstreams`.
    pub fn new(pool: PoolHandle, upstreams: UpstreamPool, limits: ProxyLimits, log: AccessLog) -> Arc<Front> {
        Arc::new(Front {
            pool,
            upstreams,
            targets: Targets::default(),
            models: ModelLists::default(),
            limits,
            log,
        })
    }

    /// The service of one client connection.
    pub fn service(
        self: &Arc<Self>,
        client: SocketAddr,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<Answer>,
        Error = Infallible,
        Future = impl Future<Output = Result<Response<Answer>, Infallible>> + Send + use<>,
    > + use<> {
        let client = Arc::new(Client::new(client.ip()));
        let front = self.clone();
        service_fn(move |request| {
            let (front, client) = (front.clone(), client.clone());
            async move { Ok(forward(&front, &client, request).await) }
        })
    }
}
