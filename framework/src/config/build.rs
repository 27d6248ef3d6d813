//! What the librdkafka of this build can do: TLS, Kerberos and HTTPS are linked only if asked for.
//!
//! Its own refusal comes when a client is made, and repeats the value, which may be a secret.

/// What librdkafka is linked with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Build {
    tls: bool,
    kerberos: bool,
    https: bool,
}

impl Build {
    /// This build. A librdkafka of the system is taken to have everything.
    pub(super) const THIS: Build = Build {
        tls: cfg!(any(
            feature = "tls",
            feature = "tls-system",
            feature = "dynamic-linking"
        )),
        kerberos: cfg!(any(feature = "gssapi", feature = "dynamic-linking")),
        https: cfg!(feature = "dynamic-linking"),
    };

    /// What a setting needs and this build lacks, with the remedy.
    pub(super) fn lacks(self, name: &str, value: &str) -> Option<&'static str> {
        const TLS: &str = "this build has no TLS; enable the feature tls, or tls-system";
        const KERBEROS: &str = "this build has no Kerberos; enable the feature gssapi, or choose \
                                another sasl.mechanism";
        const HTTPS: &str = "this build cannot fetch tokens over HTTPS; link a librdkafka of the \
                             system that can, with the feature dynamic-linking";
        let value = value.to_ascii_lowercase();
        let (needed, remedy) = match name {
            "security.protocol" if value.contains("ssl") => (self.tls, TLS),
            "sasl.mechanism" if value == "gssapi" => (self.kerberos, KERBEROS),
            "sasl.mechanism" if value != "plain" => (self.tls, TLS),
            "sasl.oauthbearer.config" | "enable.sasl.oauthbearer.unsecure.jwt" => (self.tls, TLS),
            _ if name.starts_with("ssl.") || name.starts_with("enable.ssl.") => (self.tls, TLS),
            _ if name.starts_with("sasl.oauthbearer.") => (self.https, HTTPS),
            _ if name.starts_with("https.") => (self.https, HTTPS),
            _ => return None,
        };
        (!needed).then_some(remedy)
    }

    /// Whether SASL works when no mechanism is named: librdkafka's default is GSSAPI.
    pub(super) fn has_default_mechanism(self) -> bool {
        self.kerberos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_lacks_is_told_with_the_feature_that_adds_it() {
        let none = Build {
            tls: false,
            kerberos: false,
            https: false,
        };
        let all = Build {
            tls: true,
            kerberos: true,
            https: true,
        };
        for (name, value, part) in [
            ("security.protocol", "plaintext", ""),
            ("security.protocol", "sasl_plaintext", ""),
            ("security.protocol", "SASL_SSL", "feature tls"),
            ("sasl.mechanism", "PLAIN", ""),
            ("sasl.mechanism", "SCRAM-SHA-512", "feature tls"),
            ("sasl.mechanism", "GSSAPI", "feature gssapi"),
            ("sasl.password", "x", ""),
            ("ssl.key.password", "x", "feature tls"),
            ("sasl.oauthbearer.client.secret", "x", "dynamic-linking"),
            ("linger.ms", "5", ""),
        ] {
            let lacks = none.lacks(name, value).unwrap_or_default();
            assert_eq!(lacks.is_empty(), part.is_empty(), "{name}={value}: {lacks}");
            assert!(lacks.contains(part), "{name}={value}: {lacks}");
            assert_eq!(all.lacks(name, value), None);
        }
    }
}
