//! The words of the domain as plain values: what an endpoint, a request, its work and a placement are, and
//! how an outcome reads in HTTP and gRPC.
//!
//! Everything here is data. It knows no socket, no clock, no configuration format and no other crate of ours;
//! all of them know it.

pub mod endpoint;
pub mod engine_state;
pub mod outcome;
pub mod placement;
pub mod request;
pub mod time;
pub mod work;

pub use endpoint::{Endpoint, EndpointId};
pub use engine_state::{AdapterState, EngineState, ModelCard};
pub use outcome::{GrpcCode, OutcomeStatus, Refusal};
pub use placement::{Placement, Ranked};
pub use request::{BlockHash, Request, RetryClass};
pub use time::Time;
pub use work::{Usage, Work};
