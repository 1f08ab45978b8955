"""Faults in how data are kept: buckets, streams, queries, and what somebody may set."""

from __future__ import annotations

from stock_pipeline_tests.lambdas.edits import (
    Edit,
    changed,
    condition,
    lacking,
    on,
    parameter,
    removed,
    retained,
    with_value,
    without,
    without_section,
)

VERSIONED, PUBLIC = "VersioningConfiguration", "PublicAccessBlockConfiguration"
SWAP = "tables_are_written_by_compare_and_swap_only"
READ_AT_ONCE = "raw_objects_can_be_read_at_once_for_as_long_as_they_are_kept"
EXPLAINED = "every_parameter_is_explained_and_in_one_group"
REFUSED = "a_wrong_value_is_refused_before_anything_is_made"
GLACIER = {"Id": "old", "Status": "Enabled", "Transitions": [{"StorageClass": "DEEP_ARCHIVE", "TransitionInDays": 90}]}
OLD_VERSIONS = {"Id": "old-versions", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 90}}
FORGETFUL = {"Id": "gone", "Status": "Enabled", "Prefix": "daily_prices/", "ExpirationInDays": 365}

OF_A_REGION = "bucket_names_are_of_one_account_and_region"
NO_REGION = {"Fn::Sub": "stock-pipeline-${Stage}-lake-${AWS::AccountId}"}

DATA: dict[str, tuple[Edit, str]] = {
    "a bucket can be made public": (
        with_value("LakeBucket", False, PUBLIC, "BlockPublicPolicy"),
        "buckets_are_private",
    ),
    "a bucket has no public access block": (without("StagingBucket", PUBLIC), "buckets_are_private"),
    "a bucket takes access control lists": (without("StagingBucket", "OwnershipControls"), "buckets_are_private"),
    "a bucket is not encrypted": (without("LakeBucket", "BucketEncryption"), "buckets_are_encrypted"),
    "a bucket ignores the key that is given": (
        with_value(
            "StagingBucket",
            [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}],
            "BucketEncryption",
            "ServerSideEncryptionConfiguration",
        ),
        "buckets_are_encrypted",
    ),
    "nobody can see who read the lake": (without("LakeBucket", "LoggingConfiguration"), "access_can_be_logged"),
    "staging has no versions": (without("StagingBucket", VERSIONED), "buckets_keep_old_versions"),
    "the lake's versions are suspended": (
        with_value("LakeBucket", "Suspended", VERSIONED, "Status"),
        "buckets_keep_old_versions",
    ),
    "old versions are kept for good": (
        with_value("LakeBucket", [], "LifecycleConfiguration", "Rules"),
        "buckets_keep_old_versions",
    ),
    "the lake goes with the stack": (retained("LakeBucket", "DeletionPolicy"), "data_outlives_the_stack"),
    "staging goes when it is replaced": (retained("StagingBucket", "UpdateReplacePolicy"), "data_outlives_the_stack"),
    "a failed deployment leaves a bucket": (
        retained("StagingBucket", "DeletionPolicy", "Retain"),
        "a_failed_first_deployment_leaves_nothing_behind",
    ),
    "a failed deployment leaves a queue": (
        retained("StreamArrivals", "DeletionPolicy", "Retain"),
        "a_failed_first_deployment_leaves_nothing_behind",
    ),
    "a bucket's name has no region": (with_value("LakeBucket", NO_REGION, "BucketName"), OF_A_REGION),
    "a bucket's name is anybody's": (without("StagingBucket", "BucketNamespace"), OF_A_REGION),
    "a bucket's name is too long": (parameter("Stage", "AllowedPattern", "[a-z][a-z0-9]{0,8}"), OF_A_REGION),
    "raw objects must be restored before they are read": (
        with_value("StagingBucket", [OLD_VERSIONS, GLACIER], "LifecycleConfiguration", "Rules"),
        READ_AT_ONCE,
    ),
    "files of vendors expire": (
        with_value("StagingBucket", [OLD_VERSIONS, FORGETFUL], "LifecycleConfiguration", "Rules"),
        READ_AT_ONCE,
    ),
    "raw ticks expire unasked": (parameter("RawTicksKeepDays", "Default", 30), READ_AT_ONCE),
    # compare-and-swap
    "tables can be written over": (changed("LakeBucketPolicy", "CompareAndSwapOnly", Effect="Allow"), SWAP),
    "one table can be written over": (lacking("LakeBucketPolicy", "CompareAndSwapOnly", "trade_corrections"), SWAP),
    "the layout can be written over": (lacking("LakeBucketPolicy", "CompareAndSwapOnly", "_layout.json"), SWAP),
    "a multipart upload cannot begin": (condition("LakeBucketPolicy", "CompareAndSwapOnly", "Bool"), SWAP),
    "every write to a table is refused": (condition("LakeBucketPolicy", "CompareAndSwapOnly", "Null"), SWAP),
    # TLS
    "a bucket answers without TLS": (removed("StagingBucketPolicy"), "only_tls_is_answered"),
    "a queue answers without TLS": (condition("StreamDlqPolicy", "TlsOnly", "Bool"), "only_tls_is_answered"),
    "the queue of missed schedules answers without TLS": (removed("MissedSchedulesPolicy"), "only_tls_is_answered"),
    "the objects of a bucket are answered without TLS": (
        changed("LakeBucketPolicy", "TlsOnly", Resource={"Fn::GetAtt": ["LakeBucket", "Arn"]}),
        "only_tls_is_answered",
    ),
    # streams, queries
    "the stream is not encrypted": (without("TickStream", "StreamEncryption"), "streams_are_encrypted"),
    "a query may scan everything": (
        without("Workgroup", "WorkGroupConfiguration", "BytesScannedCutoffPerQuery"),
        "queries_are_bounded",
    ),
    "query results are not encrypted": (
        without("Workgroup", "WorkGroupConfiguration", "ResultConfiguration", "EncryptionConfiguration"),
        "queries_are_bounded",
    ),
    "queries have settings of their own": (
        with_value("Workgroup", False, "WorkGroupConfiguration", "EnforceWorkGroupConfiguration"),
        "queries_are_bounded",
    ),
    # parameters
    "the console shows 50 parameters in the order of letters": (without_section("Metadata"), EXPLAINED),
    "nobody knows what a parameter is": (parameter("KmsKey", "Description", None), EXPLAINED),
    "a parameter takes a negative number": (parameter("StaleDays", "MinValue", None), REFUSED),
    "a parameter takes any text": (parameter("LogBucket", "AllowedPattern", None), REFUSED),
    "a deployment without parameters fails": (parameter("Database", "Default", None), REFUSED),
    "a budget is told to nobody": (without_section("Rules"), "a_budget_is_told_to_somebody"),
    "a budget is told when it is spent": (
        with_value("MonthlyBudget", [], "NotificationsWithSubscribers"),
        "a_budget_is_told_to_somebody",
    ),
    "a bucket asks KMS for every object": (
        on(
            without("LakeBucket", "BucketEncryption"),
            with_value(
                "LakeBucket",
                {
                    "ServerSideEncryptionConfiguration": [
                        {
                            "ServerSideEncryptionByDefault": {
                                "Fn::If": [
                                    "HasKmsKey",
                                    {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "KmsKey"}},
                                    {"SSEAlgorithm": "AES256"},
                                ]
                            }
                        }
                    ]
                },
                "BucketEncryption",
            ),
        ),
        "buckets_are_encrypted",
    ),
}
