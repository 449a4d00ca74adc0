//! What tools ask about access: there are no ACLs and no policies, everything is private, and
//! that is what the answers say. Whatever would open something is refused, never dropped.

use super::{Front, convert};
use s3s::dto::{
    AccessControlPolicy, Grant, Grantee, Permission, PublicAccessBlockConfiguration,
    ServerSideEncryption, StorageClass, Type,
};
use s3s::{S3Result, s3_error};

/// ACLs that say what is so anyway.
const PRIVATE: [&str; 3] = ["private", "bucket-owner-full-control", "bucket-owner-read"];

/// What a request may say about how an object is kept, beside its bytes.
#[derive(Default)]
pub(super) struct Wishes<'r> {
    pub(super) acl: Option<&'r str>,
    pub(super) grants: [Option<&'r String>; 4],
    pub(super) storage_class: Option<&'r StorageClass>,
    pub(super) encryption: Option<&'r ServerSideEncryption>,
    pub(super) website_redirect: Option<&'r String>,
    pub(super) customer_key: Option<&'r String>,
    pub(super) locked: bool,
}

/// The wishes of a request: the inputs that have them have them under the same names, and no trait.
macro_rules! wishes {
    ($input:ident) => {
        $crate::s3::policy::Wishes {
            acl: $input.acl.as_ref().map(s3s::dto::ObjectCannedACL::as_str),
            grants: [
                $input.grant_full_control.as_ref(),
                $input.grant_read.as_ref(),
                $input.grant_read_acp.as_ref(),
                $input.grant_write_acp.as_ref(),
            ],
            storage_class: $input.storage_class.as_ref(),
            encryption: $input.server_side_encryption.as_ref(),
            website_redirect: $input.website_redirect_location.as_ref(),
            customer_key: $input.sse_customer_key.as_ref(),
            locked: $input.object_lock_mode.is_some()
                || $input.object_lock_legal_hold_status.is_some(),
        }
    };
}
pub(super) use wishes;

impl Wishes<'_> {
    /// A part of S3 that this store does not have must not be dropped silently.
    pub(super) fn check(&self) -> S3Result<()> {
        check_acl(self.acl, self.grants)?;
        if self.locked {
            return Err(s3_error!(NotImplemented, "object lock is not implemented"));
        }
        if self.customer_key.is_some() || self.encryption.is_some() {
            return Err(s3_error!(NotImplemented, "encryption is not implemented"));
        }
        if self.website_redirect.is_some() {
            return Err(s3_error!(NotImplemented, "websites are not implemented"));
        }
        match self.storage_class.map(StorageClass::as_str) {
            None | Some(StorageClass::STANDARD) => Ok(()),
            Some(_) => Err(s3_error!(
                InvalidStorageClass,
                "the only storage class is STANDARD"
            )),
        }
    }
}

/// Refuses whatever would give somebody else access.
pub(super) fn check_acl(acl: Option<&str>, grants: [Option<&String>; 4]) -> S3Result<()> {
    if acl.is_none_or(|acl| PRIVATE.contains(&acl)) && grants.iter().all(Option::is_none) {
        return Ok(());
    }
    Err(s3_error!(
        AccessControlListNotSupported,
        "there are no ACLs: access is granted to keys (storage-node key create)"
    ))
}

/// Refuses an ACL in XML that is another than [`owner_only`].
pub(super) fn check_policy(policy: Option<&AccessControlPolicy>) -> S3Result<()> {
    let owner = convert::owner().id;
    let ours = |grant: &Grant| {
        let full = grant.permission.as_ref().map(Permission::as_str);
        full == Some(Permission::FULL_CONTROL)
            && grant.grantee.as_ref().is_some_and(|who| who.id == owner)
    };
    let grants = policy.and_then(|policy| policy.grants.as_ref());
    if grants.is_none_or(|grants| grants.iter().all(ours)) {
        return Ok(());
    }
    Err(s3_error!(
        AccessControlListNotSupported,
        "there are no ACLs: access is granted to keys (storage-node key create)"
    ))
}

/// The grants of the only ACL there is.
pub(super) fn owner_only() -> Vec<Grant> {
    let owner = convert::owner();
    vec![Grant {
        grantee: Some(Grantee {
            display_name: owner.display_name,
            email_address: None,
            id: owner.id,
            type_: Type::from_static(Type::CANONICAL_USER),
            uri: None,
        }),
        permission: Some(Permission::from_static(Permission::FULL_CONTROL)),
    }]
}

/// Nothing is public, and nothing can be made so.
pub(super) fn all_blocked() -> PublicAccessBlockConfiguration {
    PublicAccessBlockConfiguration {
        block_public_acls: Some(true),
        block_public_policy: Some(true),
        ignore_public_acls: Some(true),
        restrict_public_buckets: Some(true),
    }
}

impl Front {
    /// Blocking everything is how it is; anything less cannot be had.
    pub(super) async fn block_public(
        &self,
        bucket: &str,
        asked: &PublicAccessBlockConfiguration,
    ) -> S3Result<()> {
        self.bucket_exists(bucket).await?;
        if *asked == all_blocked() {
            return Ok(());
        }
        Err(s3_error!(
            NotImplemented,
            "public access is always blocked, in all four ways"
        ))
    }
}
