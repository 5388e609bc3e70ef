"""grpc_client.py - calls a gRPC door as grpcurl does: learns services and messages by reflection, nothing is compiled in. A server that does not
describe itself is called by what `like`, another, has told."""

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from harness import SLOW


class Services:
    def __init__(self, address, credentials=None, options=None, like=None):
        self.channel = grpc.secure_channel(address, credentials, options) if credentials else grpc.insecure_channel(address, options)
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = like.pool if like else descriptor_pool.DescriptorPool(self.database)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def names(self):
        return set(self.database.get_services())

    def message(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def call(self, service, method, /, timeout=20, metadata=None, **fields):
        """The answer of a unary method; a list of the messages of a streaming one."""
        found = self.pool.FindServiceByName(service).FindMethodByName(method)
        request = message_factory.GetMessageClass(found.input_type)(**fields)
        answer = message_factory.GetMessageClass(found.output_type)
        kind = self.channel.unary_stream if found.server_streaming else self.channel.unary_unary
        run = kind(f"/{service}/{method}", request_serializer=lambda message: message.SerializeToString(), response_deserializer=answer.FromString)
        result = run(request, timeout=timeout * SLOW, metadata=metadata)
        return list(result) if found.server_streaming else result


def failure(run, /, *arguments, **more):
    """(status name, message) of a call that must fail."""
    try:
        got = run(*arguments, **more)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError(f"it did not fail: {got}")
