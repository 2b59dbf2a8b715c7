//! A device whose packets a test takes and gives: the one place here that calls the kernel itself.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use super::namespace::Namespace;

/// The device in its namespace.
pub(crate) const DEVICE: &str = "wan0";

/// Makes the device and brings it up; each read gives a packet of IP, each write takes one. Neither
/// waits. The device goes when the file is closed.
pub(crate) fn open(namespace: &Namespace) -> File {
    let file = namespace.run(|| {
        let mut options = File::options();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
        let file = options.open("/dev/net/tun").expect("the device /dev/net/tun");
        attach(&file);
        file
    });
    namespace.ip(&format!("link set {DEVICE} up txqueuelen 1000"));
    file
}

#[allow(unsafe_code)] // There is no call for it in any crate that is used.
fn attach(file: &File) {
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short,
        },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
        *to = libc::c_char::try_from(from).unwrap();
    }
    // SAFETY: the file is open, and the request lives until the call is over.
    let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    assert_eq!(made, 0, "TUNSETIFF: {}", std::io::Error::last_os_error());
}
