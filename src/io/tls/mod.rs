//! The https port's certificate: the operator's files, watched for their
//! renewal, or one of our own making.

pub mod own;
pub mod pem;
pub mod watch;
