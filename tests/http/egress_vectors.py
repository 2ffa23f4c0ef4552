"""Server-side request forgery vectors: what other projects' tests and documentation refuse, re-expressed.

Each row names where it comes from:
  S  Svix server, core/webhook_http_client.rs (its table of not-global addresses, mapped ones included)
  K  Stripe's Smokescreen, pkg/smokescreen/smokescreen_test.go (private, loopback, metadata, broadcast)
  C  Convoy, net/dispatcher_test.go (loopback as URL literal, private block lists)
  G  GitLab, doc/security/webhooks.md (the host itself, private and site-local networks)
  H  a disclosed report against a webhook product: the mapped, compressed form of the metadata address
  R  the RFC that reserves the block or defines the transition form; I  IANA special-purpose registries
  W  inet_aton(3)'s short, octal, hexadecimal and decimal forms, UTS #46 digits
"""

REFUSED_IPV4 = [
    ("10.254.0.0", "S"),
    ("192.168.10.65", "S"),
    ("172.16.10.65", "S"),
    ("0.1.2.3", "S"),
    ("0.0.0.0", "S G"),
    ("127.0.0.1", "S K C G"),
    ("169.254.45.1", "S"),
    ("255.255.255.255", "S K"),
    ("192.0.2.255", "S"),
    ("198.51.100.65", "S"),
    ("203.0.113.6", "S"),
    ("100.100.0.0", "S"),
    ("192.0.0.0", "S"),
    ("192.0.0.255", "S"),
    ("250.10.20.30", "S"),
    ("198.18.0.0", "S"),
    ("10.0.0.1", "K G"),
    ("172.16.0.1", "K"),
    ("172.31.255.255", "G"),
    ("192.168.0.1", "K"),
    ("127.255.255.255", "K"),
    ("169.254.169.254", "K"),
    ("224.0.0.1", "R 5771"),
    ("239.255.255.250", "R 5771"),
    ("100.64.0.1", "R 6598"),
    ("100.127.255.255", "R 6598"),
    ("192.88.99.1", "R 7526"),
    ("198.19.255.255", "R 2544"),
    ("100.100.100.200", "Alibaba Cloud's manual"),
    ("168.63.129.16", "Azure's manual"),
    ("192.0.0.192", "Oracle Cloud's manual"),
]
REFUSED_IPV6 = [
    ("::1", "S K G"),
    ("::ffff:127.0.0.1", "S"),
    ("::ffff:0.0.0.1", "S"),
    ("0:0:0:ffff::1", "I: outside 2000::/3 (Svix lets it pass)"),
    ("ff02::2", "K"),
    ("fec0::1", "G"),
    ("::ffff:a9fe:a9fe", "H"),
    ("::", "R 4291"),
    ("::127.0.0.1", "R 4291"),
    ("::ffff:0:127.0.0.1", "R 2765"),
    ("64:ff9b::10.0.0.1", "R 6052"),
    ("64:ff9b::169.254.169.254", "R 6052"),
    ("64:ff9b:1::8.8.8.8", "R 8215"),
    ("2002:7f00:1::", "R 3056"),
    ("2002:808:808::", "R 3056"),
    ("2001:0:4136:e378:8000:63bf:80ff:fffe", "R 4380, client 127.0.0.1"),
    ("2001:0:a00:1:8000:63bf:f7f7:f7f7", "R 4380, server 10.0.0.1"),
    ("2001:10::1", "R 4843"),
    ("2001:20::1", "R 7343"),
    ("2001:2::1", "R 5180"),
    ("2001:db8::1", "R 3849"),
    ("3fff::1", "R 9637"),
    ("5f00::1", "R 9602"),
    ("100::1", "R 6666"),
    ("4000::1", "R 4291"),
    ("fc00::1", "R 4193"),
    ("fd12:3456:789a::1", "R 4193"),
    ("fe80::1", "R 4291"),
    ("fe80::1%eth0", "R 4007"),
    ("::1%1", "R 4007"),
    ("ff0e::1", "R 4291"),
    ("fd00:ec2::254", "AWS's manual"),
    ("fd20:ce::254", "GCP's manual"),
]
REFUSED_SPELLINGS = [
    ("127.1", "W"),
    ("2130706433", "W"),
    ("0177.0.0.1", "W"),
    ("0x7f.1", "W"),
    ("127.0.0.1.", "W"),
    ("localhost", "no address at all"),
    ("", "no address at all"),
]
PUBLIC_ADDRESSES = [
    "1.1.1.1",  # S
    "8.8.8.8",  # K
    "::ffff:8.8.8.8",  # S
    "2001:4860:4860::8888",  # S
    "64:ff9b::8.8.8.8",  # R 6052
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2003::1",
    "2606:4700::1111",
]
REFUSED_URLS = [
    ("http://127.0.0.1/", None, "C"),
    ("http://localhost/", None, "G"),
    ("http://[::1]/", None, "G"),
    ("http://[::]/", None, "G"),
    ("http://0.0.0.0/", None, "G"),
    ("http://[::ffff:a9fe:a9fe]/", None, "H"),
    ("http://[::ffff:127.0.0.1]/", None, "S"),
    ("http://[fe80::1%25lo]/", None, "R 6874"),
    ("http://169.254.169.254/latest/meta-data/", None, "K"),
    ("http://2130706433/", None, "W"),
    ("http://127.1/", None, "W"),
    ("http://0/", None, "W"),
    ("http://0177.0.0.1/", None, "W"),
    ("http://0x7f.1/", None, "W"),
    ("http://0x7f000001/", None, "W"),
    ("http://127.0.0.1./", None, "W"),
    ("http://127.0.0.1../", None, "W"),
    ("http://\uff11\uff12\uff17.0.0.1/", None, "W"),
    ("http://127。0。0。1/", None, "W"),
    ("http://①②⑦.0.0.1/", None, "W"),
    ("http://ⓛocalhost/", None, "W"),
    ("http://8.8.8.8:80@127.0.0.1/", None, "user information that looks like a host"),
    ("http://metadata.example/", ["169.254.169.254"], "K"),
    ("http://internal.example/", ["10.0.0.1", "fd00::1"], "K"),
    ("http://nat64.example/", ["64:ff9b::127.0.0.1"], "R 6052"),
    ("http://mapped.example/", ["::ffff:10.0.0.1"], "S"),
]
