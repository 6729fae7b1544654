//! Opening doors: addresses, sockets, and who may have them.

use super::*;
use crate::net::listener::BindError;

#[tokio::test]
async fn an_address_in_use_is_refused() {
    let first = bind_at("127.0.0.1:0", 2).unwrap();
    let DoorAddress::Tcp(address) = first.address() else {
        panic!("asked for TCP")
    };
    let error = bind_at(&address.to_string(), 2).unwrap_err();
    assert!(matches!(error, BindError::InUse(_)), "{error}");
    assert_eq!(first.into_doors().len(), 2);
}

fn bind_at(address: &str, threads: usize) -> Result<Bound, BindError> {
    let options = DoorOptions {
        address: DoorAddress::Tcp(address.parse().unwrap()),
        tls: None,
        half_close: false,
        index: 0,
    };
    bind(&options, threads, &mut Inherited::none())
}

#[test]
fn a_unix_socket_tells_who_calls() {
    on_a_core(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door");
        let options = DoorOptions {
            address: DoorAddress::Unix(path.clone(), 0o600),
            tls: None,
            half_close: false,
            index: 0,
        };
        let bound = bind(&options, 1, &mut Inherited::none()).unwrap();
        let door = bound.into_doors().remove(0);
        let service = |arrival: Arrival| async move {
            let uid = arrival.peer().unix_uid.unwrap();
            assert_eq!(uid, rustix::process::getuid().as_raw());
            status(StatusCode::NO_CONTENT)
        };
        let failed = || status(StatusCode::INTERNAL_SERVER_ERROR);
        let stop = CancellationToken::new();
        spawn_local(serve(door, ServerLimits::default(), stop, service, failed));
        let mut link = tokio::net::UnixStream::connect(path).await.unwrap();
        link.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut seen = [0; 13];
        link.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"HTTP/1.1 204 ");
    });
}

#[tokio::test]
async fn a_socket_that_was_not_handed_over_is_refused() {
    let options = DoorOptions {
        address: DoorAddress::Inherited("api".to_owned()),
        tls: None,
        half_close: false,
        index: 0,
    };
    let error = bind(&options, 1, &mut Inherited::none()).unwrap_err();
    assert!(matches!(error, BindError::NotInherited(_)), "{error}");
}
