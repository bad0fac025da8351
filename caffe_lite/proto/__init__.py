"""Caffe's file formats: the schema, text with positions, upgrades of old files, reading, writing."""
