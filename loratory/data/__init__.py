"""The dataset on disk: what lies in a folder, its captions, its pixels, and the buckets its pictures go into."""
