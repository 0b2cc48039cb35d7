"""AWS: the bucket, and secrets. Where and as whom is said by AWS' own variables, as ``AWS_ENDPOINT_URL``."""
