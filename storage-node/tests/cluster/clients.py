"""What boto3's users do, against the endpoint in the first argument. Fails by assertion."""

import datetime
import hashlib
import os
import sys
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, files = sys.argv[1], int(sys.argv[2])
config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 5})
s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=config)


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return
    raise AssertionError(f"{call} was not refused with {code}")


bucket = "boto"
s3.create_bucket(Bucket=bucket)
refused("BucketAlreadyOwnedByYou", s3.create_bucket, Bucket=bucket)
s3.get_waiter("bucket_exists").wait(Bucket=bucket)
assert bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]]

# Objects, with the checksums that the SDK sends by itself, and others.
for algorithm in (None, "CRC32", "SHA1", "SHA256"):
    extra = {"ChecksumAlgorithm": algorithm} if algorithm else {}
    s3.put_object(Bucket=bucket, Key="sums", Body=b"some bytes" * 1000, **extra)
    got = s3.get_object(Bucket=bucket, Key="sums", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"some bytes" * 1000
    name = f"Checksum{algorithm or 'CRC32'}"
    assert name in got, (algorithm, got)
s3.put_object(Bucket=bucket, Key="meta", Body=b"x", Metadata={"a": "1"}, ContentType="text/x", CacheControl="no-store")
head = s3.head_object(Bucket=bucket, Key="meta")
assert (head["Metadata"], head["ContentType"], head["CacheControl"]) == ({"a": "1"}, "text/x", "no-store")
refused("404", s3.head_object, Bucket=bucket, Key="nothing")
refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="nothing")
got = s3.get_object(Bucket=bucket, Key="sums", Range="bytes=5-14")
assert got["Body"].read() == b"bytessome " and got["ContentRange"] == "bytes 5-14/10000"
refused("InvalidRange", s3.get_object, Bucket=bucket, Key="sums", Range="bytes=99999-")

# Conditions.
etag = s3.put_object(Bucket=bucket, Key="cond", Body=b"1", IfNoneMatch="*")["ETag"]
refused("PreconditionFailed", s3.put_object, Bucket=bucket, Key="cond", Body=b"2", IfNoneMatch="*")
refused("PreconditionFailed", s3.put_object, Bucket=bucket, Key="cond", Body=b"2", IfMatch='"other"')
s3.put_object(Bucket=bucket, Key="cond", Body=b"2", IfMatch=etag)
refused("304", s3.get_object, Bucket=bucket, Key="sums", IfNoneMatch=s3.head_object(Bucket=bucket, Key="sums")["ETag"])
later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
source = {"Bucket": bucket, "Key": "meta"}
refused("PreconditionFailed", s3.copy_object, Bucket=bucket, Key="copy", CopySource=source, CopySourceIfModifiedSince=later)
s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, CopySourceIfUnmodifiedSince=later)
assert s3.head_object(Bucket=bucket, Key="copy")["Metadata"] == {"a": "1"}

# A large file in parts, up and down, and a copy of it in parts.
path = os.path.join(os.environ["WORK"], "large")
with open(path, "wb") as file:
    file.write(os.urandom(21 << 20))
parts = TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=6 << 20, max_concurrency=3)
s3.upload_file(path, bucket, "large", Config=parts, ExtraArgs={"Tagging": "kind=large"})
assert s3.get_object_tagging(Bucket=bucket, Key="large")["TagSet"] == [{"Key": "kind", "Value": "large"}]
s3.copy({"Bucket": bucket, "Key": "large"}, bucket, "large copy ü", Config=parts)
for key in ("large", "large copy ü"):
    s3.download_file(bucket, key, path + ".down", Config=parts)
    sums = [hashlib.sha256(open(name, "rb").read()).digest() for name in (path, path + ".down")]
    assert sums[0] == sums[1], key
upload = s3.create_multipart_upload(Bucket=bucket, Key="left")["UploadId"]
s3.upload_part(Bucket=bucket, Key="left", UploadId=upload, PartNumber=2, Body=b"part")
assert [p["PartNumber"] for p in s3.list_parts(Bucket=bucket, Key="left", UploadId=upload)["Parts"]] == [2]
assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
s3.abort_multipart_upload(Bucket=bucket, Key="left", UploadId=upload)
refused("NoSuchUpload", s3.list_parts, Bucket=bucket, Key="left", UploadId=upload)

# Presigned.
url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "cond"}, ExpiresIn=60)
assert urllib.request.urlopen(url).read() == b"2"
put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "presigned"}, ExpiresIn=60)
urllib.request.urlopen(urllib.request.Request(put, data=b"by url", method="PUT"))
assert s3.get_object(Bucket=bucket, Key="presigned")["Body"].read() == b"by url"

# Listings, with pages and folders and names that are hard to write.
names = [f"tree/{n % 7}/{n} + % & ü.txt" for n in range(files)]
for name in names:
    s3.put_object(Bucket=bucket, Key=name, Body=name.encode())
pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="tree/", PaginationConfig={"PageSize": 37})
assert sorted(names) == sorted(o["Key"] for page in pages for o in page["Contents"])
folders = s3.list_objects_v2(Bucket=bucket, Prefix="tree/", Delimiter="/")
assert [p["Prefix"] for p in folders["CommonPrefixes"]] == [f"tree/{n}/" for n in range(7)]
assert s3.list_objects(Bucket=bucket, Prefix="tree/", MaxKeys=2)["IsTruncated"]
for start in range(0, len(names), 1000):
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": n} for n in names[start:start + 1000]]})
    assert len(gone["Deleted"]) == len(names[start:start + 1000]) and "Errors" not in gone

# Versions.
s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
first = s3.put_object(Bucket=bucket, Key="versioned", Body=b"one")["VersionId"]
s3.put_object(Bucket=bucket, Key="versioned", Body=b"two")
marker = s3.delete_object(Bucket=bucket, Key="versioned")
assert marker["DeleteMarker"]
refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="versioned")
listed = s3.list_object_versions(Bucket=bucket, Prefix="versioned")
assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (2, 1)
assert s3.get_object(Bucket=bucket, Key="versioned", VersionId=first)["Body"].read() == b"one"
s3.delete_object(Bucket=bucket, Key="versioned", VersionId=marker["VersionId"])
assert s3.get_object(Bucket=bucket, Key="versioned")["Body"].read() == b"two"

# What is not there says so.
refused("NoSuchBucketPolicy", s3.get_bucket_policy, Bucket=bucket)
refused("NotImplemented", s3.put_bucket_policy, Bucket=bucket, Policy="{}")
refused("AccessControlListNotSupported", s3.put_object, Bucket=bucket, Key="x", Body=b"", ACL="public-read")
refused("NotImplemented", s3.put_object, Bucket=bucket, Key="x", Body=b"", ServerSideEncryption="AES256")
assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "k", "Value": "v"}]

# And away with it all.
resource = boto3.resource("s3", endpoint_url=endpoint, region_name="us-east-1", config=config)
resource.Bucket(bucket).object_versions.delete()
s3.delete_bucket(Bucket=bucket)
