//! Floor 3: bytes. Listeners, TLS, dialling and pooled links; knows no OAuth.
