"""Caffe's file formats: the schema, the prototxt parser, upgrades of old files, read and write."""
