// SPDX-License-Identifier: AGPL-3.0-or-later
use std::fs;

use proptest::prelude::*;

use super::*;

const EMAIL: PiiType = PiiType::new("email");
const PHONE: PiiType = PiiType::new("phone");
const ANN: &str = "ann@example.org";

fn secret() -> VaultSecret {
    VaultSecret::from_text(&Key::generate().unwrap().to_hex())
}

#[test]
fn pseudonyms_are_stable_and_turn_back() {
    let dir = tempfile::tempdir().unwrap();
    let (path, secret) = (dir.path().join("a.vault"), secret());
    let vault = Vault::open_or_create(&path, &secret).unwrap();
    let tokens = vault.pseudonyms(&[(EMAIL, ANN), (PHONE, "555-0100"), (EMAIL, ANN)]).unwrap();
    assert_eq!(tokens[0], tokens[2]);
    assert!(tokens[0].starts_with("[EMAIL_") && tokens[1].starts_with("[PHONE_"));
    let again = Vault::open(&path, &secret).unwrap();
    assert_eq!(again.len(), 2);
    assert_eq!(again.pseudonyms(&[(EMAIL, ANN)]).unwrap(), [tokens[0].clone()]);
    let text = format!("é{}[EMAIL]{}[[{}] [EMAIL_bbbbbbbbbb]", tokens[0], tokens[1], tokens[0]);
    let found = again.reveal(&text).unwrap();
    assert_eq!(found.text.as_str(), format!("é{ANN}[EMAIL]555-0100[[{ANN}] [EMAIL_bbbbbbbbbb]"));
    assert_eq!((found.revealed, found.unknown), (3, 1));
}

#[test]
fn nothing_readable_is_on_disk_or_printed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, secret) = (dir.path().join("a.vault"), secret());
    let vault = Vault::open_or_create(&path, &secret).unwrap();
    vault.pseudonyms(&[(EMAIL, ANN)]).unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for raw in [&b"ann@"[..], b"example", b"EMAIL"] {
            assert!(!bytes.windows(raw.len()).any(|w| w == raw));
        }
    }
    let shown = format!("{vault:?} {:?}", vault.reveal("[EMAIL]").unwrap());
    assert!(!shown.contains("ann@"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the vault and its lock");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn each_write_has_a_nonce_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.vault");
    let vault = Vault::open_or_create(&path, &secret()).unwrap();
    let mut seen = vec![file::nonce(&fs::read(&path).unwrap())];
    for value in ["a", "b", "c"] {
        vault.pseudonyms(&[(EMAIL, value)]).unwrap();
        let nonce = file::nonce(&fs::read(&path).unwrap());
        assert!(!seen.contains(&nonce));
        seen.push(nonce);
    }
}

#[test]
fn a_passphrase_opens_what_it_sealed_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.vault");
    let weak = VaultSecret::from_text("hunter2");
    assert_eq!(Vault::open_or_create(&path, &weak).unwrap_err(), VaultError::WeakPassphrase);
    let phrase = VaultSecret::from_text("correct horse battery staple\n");
    let vault = Vault::open_or_create(&path, &phrase).unwrap();
    let token = vault.pseudonyms(&[(EMAIL, ANN)]).unwrap().remove(0);
    let again =
        Vault::open(&path, &VaultSecret::from_text("correct horse battery staple")).unwrap();
    assert_eq!(again.reveal(&token).unwrap().text.as_str(), ANN);
    let wrong = VaultSecret::from_text("correct horse battery stable");
    assert_eq!(
        Vault::open(&path, &wrong).unwrap_err(),
        VaultError::WrongKey { path: path.clone() }
    );
    let kind = Vault::open(&path, &secret()).unwrap_err();
    assert_eq!(kind, VaultError::SecretKind { expected: "a passphrase" });
}

#[test]
fn wrong_keys_and_damaged_files_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (path, secret) = (dir.path().join("a.vault"), secret());
    Vault::open_or_create(&path, &secret).unwrap().pseudonyms(&[(EMAIL, ANN)]).unwrap();
    let good = fs::read(&path).unwrap();
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Vault::open(&path, &secret).unwrap_err()
    };
    let phrase = VaultSecret::from_text("correct horse battery staple");
    let expected = "a key of 64 hex digits";
    assert_eq!(Vault::open(&path, &phrase).unwrap_err(), VaultError::SecretKind { expected });
    assert!(matches!(
        Vault::open(&path, &self::secret()).unwrap_err(),
        VaultError::WrongKey { .. }
    ));
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x41;
        let error = open(&bad);
        let fits = match at {
            0..8 => matches!(error, VaultError::NotAVault { .. }),
            8 => matches!(error, VaultError::Version { .. }),
            64..72 => matches!(error, VaultError::WrongKey { .. }),
            _ => matches!(error, VaultError::Damaged { .. }),
        };
        assert!(fits, "byte {at}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("ann@"));
    }
    for len in 0..good.len() {
        assert!(matches!(
            open(&good[..len]),
            VaultError::NotAVault { .. } | VaultError::Damaged { .. }
        ));
    }
    assert!(matches!(open(&[&good[..], b"x"].concat()), VaultError::Damaged { .. }));
    assert!(matches!(
        Vault::open(&dir.path().join("none"), &secret).unwrap_err(),
        VaultError::Io { action: "read", .. }
    ));
}

#[test]
fn a_header_cannot_ask_for_all_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.vault");
    let mut bytes = vec![0; 100];
    bytes[..8].copy_from_slice(b"BHOVAULT");
    bytes[8..10].copy_from_slice(&[1, 1]);
    for (kib, passes, lanes) in [(u32::MAX, 1, 1), (64, u32::MAX, 1), (64, 1, u32::MAX), (0, 0, 0)]
    {
        for (at, number) in [(12, kib), (16, passes), (20, lanes)] {
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        fs::write(&path, &bytes).unwrap();
        let error = Vault::open(&path, &VaultSecret::from_text("a passphrase")).unwrap_err();
        assert_eq!(error, VaultError::Damaged { path: path.clone() });
    }
}

#[test]
fn writers_of_one_file_keep_what_each_adds() {
    let dir = tempfile::tempdir().unwrap();
    let (path, secret) = (dir.path().join("a.vault"), secret());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (path, secret) = (&path, &secret);
            scope.spawn(move || {
                // As another process would: each with the file open by itself.
                let vault = Vault::open_or_create(path, secret).unwrap();
                for i in 0..8 {
                    let value = format!("{thread}-{i}");
                    vault.pseudonyms(&[(EMAIL, &value), (EMAIL, "shared")]).unwrap();
                }
            });
        }
    });
    assert_eq!(Vault::open(&path, &secret).unwrap().len(), 33);
}

#[test]
fn what_another_process_added_is_revealed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, secret) = (dir.path().join("a.vault"), secret());
    let first = Vault::open_or_create(&path, &secret).unwrap();
    let token = Vault::open(&path, &secret).unwrap().pseudonyms(&[(EMAIL, ANN)]).unwrap().remove(0);
    assert_eq!(first.reveal(&token).unwrap().text.as_str(), ANN);
}

#[test]
fn a_vault_that_cannot_be_written_gives_no_pseudonym() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("sub");
    fs::create_dir(&folder).unwrap();
    let vault = Vault::open_or_create(&folder.join("a.vault"), &secret()).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    let error = vault.pseudonyms(&[(EMAIL, ANN)]).unwrap_err();
    assert!(matches!(error, VaultError::Io { .. }));
    assert!(vault.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_values_turn_back_exactly(values in prop::collection::vec("\\PC{1,20}", 1..20), between in "[a-z \\[\\]_\n]{0,8}") {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open_or_create(&dir.path().join("a.vault"), &secret()).unwrap();
        let pairs: Vec<_> = values.iter().map(|value| (EMAIL, value.as_str())).collect();
        let tokens = vault.pseudonyms(&pairs).unwrap();
        let join = |parts: Vec<&str>| parts.join(&between);
        let text = join(tokens.iter().map(String::as_str).collect());
        let want = join(values.iter().map(String::as_str).collect());
        let found = vault.reveal(&text).unwrap();
        prop_assert_eq!(found.text.as_str(), want);
        prop_assert_eq!(found.revealed, values.len());
    }

    #[test]
    fn any_bytes_are_no_vault_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), magic in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.vault");
        let mut bytes = bytes;
        if magic && bytes.len() >= 10 {
            bytes[..10].copy_from_slice(b"BHOVAULT\x01\x00");
        }
        fs::write(&path, &bytes).unwrap();
        prop_assert!(Vault::open(&path, &secret()).is_err());
    }
}
