"""Gateway: what Envoy, the front door, cannot answer by itself.

Envoy takes REST, gRPC and gRPC-Web on one port and sends each call to its service; here are the home page, the documents
of everything that can be called, the public events and their webhooks, SCIM, operations over all services, and the
reflection of every contract. Owns webhooks; follows everything, to publish it, and the directory, to know what a caller
is to whom. It is the only caller of services inside the system.
"""
