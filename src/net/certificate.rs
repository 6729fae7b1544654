//! The names in a certificate that TLS has already verified. Reads only as much DER as it takes to find the subject
//! alternative names; verifies nothing.

use std::net::IpAddr;

/// `dns:…` (in lower case), `email:…`, `uri:…` and `ip:…` names of a DER-encoded certificate, in its order. Empty if it has
/// none or cannot be read: a name that is not understood admits nobody.
pub(super) fn names(certificate: &[u8]) -> Vec<String> {
    alternative_names(certificate).unwrap_or_default()
}

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const EXTENSIONS: u8 = 0xa3;
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const IP: u8 = 0x87;
/// 2.5.29.17, subjectAltName.
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

fn alternative_names(certificate: &[u8]) -> Option<Vec<String>> {
    let signed = Der(certificate).expect(SEQUENCE)?;
    let mut parts = Der(Der(signed).expect(SEQUENCE)?);
    let extensions = parts.find(EXTENSIONS)?;
    let mut extensions = Der(Der(extensions).expect(SEQUENCE)?);
    while let Some((_, extension)) = extensions.next() {
        let mut extension = Der(extension);
        if extension.expect(OBJECT_ID)? == ALTERNATIVE_NAME {
            let mut names = Der(Der(extension.find(OCTETS)?).expect(SEQUENCE)?);
            return Some(
                std::iter::from_fn(|| names.next())
                    .filter_map(name)
                    .collect(),
            );
        }
    }
    None
}

fn name((tag, value): (u8, &[u8])) -> Option<String> {
    let kind = match tag {
        EMAIL => "email",
        DNS => "dns",
        URI => "uri",
        IP => return address(value).map(|address| format!("ip:{address}")),
        _ => return None,
    };
    let value = std::str::from_utf8(value).ok()?;
    if tag == DNS {
        return Some(format!("dns:{}", value.to_ascii_lowercase()));
    }
    Some(format!("{kind}:{value}"))
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

/// What is left to read of a sequence of tag-length-value elements.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&short, mut rest) = rest.split_first()?;
        let mut length = usize::from(short);
        if short & 0x80 != 0 {
            let (long, after) = rest.split_at_checked(usize::from(short & 0x7f))?;
            rest = after;
            length = match *long {
                [a] => usize::from(a),
                [a, b] => usize::from(u16::from_be_bytes([a, b])),
                [a, b, c] => usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?,
                _ => return None,
            };
        }
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(tag, _)| *tag == wanted)
            .map(|(_, value)| value)
    }

    fn find(&mut self, wanted: u8) -> Option<&'a [u8]> {
        std::iter::from_fn(|| self.next())
            .find(|(tag, _)| *tag == wanted)
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_certificate_are_read() {
        let mut asked = rcgen::CertificateParams::new(["ERP.internal".to_owned()]).unwrap();
        for name in [
            rcgen::SanType::URI("spiffe://x/erp".try_into().unwrap()),
            rcgen::SanType::Rfc822Name("erp@x.test".try_into().unwrap()),
            rcgen::SanType::IpAddress([127, 0, 0, 1].into()),
        ] {
            asked.subject_alt_names.push(name);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = asked.self_signed(&key).unwrap();
        assert_eq!(
            names(certificate.der()),
            [
                "dns:erp.internal",
                "uri:spiffe://x/erp",
                "email:erp@x.test",
                "ip:127.0.0.1"
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_has_no_names() {
        let key = rcgen::KeyPair::generate().unwrap();
        let asked = rcgen::CertificateParams::new(["erp.internal".to_owned()]).unwrap();
        let whole = asked.self_signed(&key).unwrap().der().to_vec();
        for end in 0..whole.len() {
            assert!(names(&whole[..end]).is_empty());
        }
        assert!(names(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_empty());
    }
}
